"""Choose the finished trials of a study that go into a bundle together."""

import itertools
import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from ..bundles.record import WEIGHTS, Source, fold_weights
from ..models.build import build_network
from ..models.network import MultitaskNetwork
from ..search.handle import StudyHandle
from ..storage.artifacts import StoredFile, get_file, list_files
from ..storage.attributes import FOLDS
from ..trials.checkpoint import load_weights, read_weights
from ..trials.features import evaluation_view
from ..trials.greedy_ensemble import (
    class_probabilities,
    mask_logits,
    mean_label_metrics,
    mean_mask_metrics,
    select_members,
)
from ..trials.kinds import MEAN_SCORE, mean_score
from ..trials.trial_config import TrialConfig
from .base import recorded_config
from .context import StudyContext
from .results import finished

log = logging.getLogger(__name__)

# The number of a study's best trials that are considered. Each predicts the validation split once,
# and the masks of decoders stay in memory meanwhile.
POOL = 8


@dataclass(frozen=True)
class Pick:
    """A trial that goes into a bundle, with its study; of a trial with folds, one network."""

    handle: StudyHandle
    trial: FrozenTrial
    fold: int = 0

    @property
    def file(self) -> str:
        """The name of the file with the weights."""
        return fold_weights(self.fold) if self.handle.spec.folds else WEIGHTS

    @property
    def config(self) -> TrialConfig:
        """The config that the trial recorded."""
        return recorded_config(self.trial)

    def source(self) -> Source:
        """Return the trial's entry in the bundle, with its value in the study's main objective."""
        spec = self.handle.spec
        return Source(
            study=self.handle.study.study_name,
            kind=spec.kind,
            trial=self.trial.number,
            objective=spec.objective,
            value=self.trial.values[0],
            seed=spec.seed,
        )


def choose_members(best: Pick, context: StudyContext, *, top: int) -> tuple[Pick, ...]:
    """Choose up to ``top`` finished trials, ``best`` first, whose mean beats ``best`` alone.

    The choice is greedy, by the study's main objective on the validation split (of equals by the
    metric that decides ties), among its ``POOL`` best trials; see ``select_members``. Trials that
    see images in another form (size, fit, normalisation) than ``best`` are left out, because a
    bundle prepares an image once. The choice is logged. Of a study with folds the members are the
    networks of ``best``, whose mean needs no choice. ``context`` is that of the study.
    """
    if context.spec.folds:
        return tuple(replace(best, fold=fold) for fold in range(len(FOLDS.need(best.trial))))
    spec, name = context.spec, context.handle.study.study_name
    pool = _pool(best, context)
    sign = 1 if spec.direction == "maximize" else -1
    metrics = _judge(pool, context)

    def score(members: tuple[int, ...]) -> tuple[float, float]:
        found = metrics(members)
        return sign * found[spec.objective], -found[spec.tie_break]

    chosen, scores = select_members(len(pool), score, limit=top)
    decided = len(chosen) == 1 or scores[0][0] != scores[-1][0]
    by = (spec.objective, sign, 0) if decided else (spec.tie_break, -1, 1)
    alone, together = (f"{by[0]} {by[1] * score[by[2]]:.4f}" for score in (scores[0], scores[-1]))
    numbers = ", ".join(str(pool[index].trial.number) for index in chosen)
    if len(chosen) == 1:
        log.warning(
            "study %s: trial %s goes into the bundle alone: no other of %d improves its %s on the validation split",
            *(name, numbers, len(pool) - 1, alone),
        )
    else:
        log.info("study %s: trials %s together: %s on the validation split, %s alone", name, numbers, together, alone)
    return tuple(pool[index] for index in chosen)


def pick_network(pick: Pick, context: StudyContext) -> MultitaskNetwork:
    """Return the trained network of a trial; that of a decoder includes its base.

    ``context`` is that of its study.
    """
    network = build_network(pick.config.with_random_encoder().network(context.num_classes))
    weights = {} if context.spec.base is None else read_weights(context.frozen.weights())
    with tempfile.TemporaryDirectory(prefix="venation-") as folder:
        path = get_file(context.artifacts, pick.trial, pick.file, to=Path(folder), storage=pick.handle.storage)
        weights |= read_weights(path)
    load_weights(network, weights, source=f"trial {pick.trial.number} of `{pick.handle.study.study_name}`")
    return network


def _pool(best: Pick, context: StudyContext) -> list[Pick]:
    """Return the study's best trials that see images as ``best`` does, which comes first."""
    handle = best.handle
    sign = 1 if handle.spec.direction == "maximize" else -1
    ranked = sorted(finished(handle), key=lambda trial: -sign * trial.values[0])
    others = [Pick(handle, trial) for trial in ranked if trial.number != best.trial.number]
    fitting = [pick for pick in others if _view(pick) == _view(best)]
    if left_out := len(others) - len(fitting):
        log.info(
            "study %s: %d trials see images of another size or form than trial %d, so they cannot join it",
            *(handle.study.study_name, left_out, best.trial.number),
        )
    # gc may have removed the weights of some.
    kept = (pick for pick in fitting if any(file.filename == WEIGHTS for file in _files(pick)))
    return [best, *itertools.islice(kept, POOL - 1)]


def _files(pick: Pick) -> list[StoredFile]:
    return list_files(pick.trial, storage=pick.handle.storage)


def _view(pick: Pick) -> dict[str, Any]:
    return evaluation_view(pick.config.data)


def _judge(pool: list[Pick], context: StudyContext) -> Callable[[tuple[int, ...]], dict[str, float]]:
    """Return a function from members of ``pool`` to the metrics of their mean prediction.

    The predictions are on the validation split.
    """
    device, loader = context.device, context.loaders.make(pool[0].config, "val")
    networks = (pick_network(pick, context) for pick in pool)
    answers = context.spec.kind.facts.answers
    said, masks = [], []
    for network in networks:
        if "classify" in answers:
            said.append(class_probabilities(network, loader, device=device))
        if "segment" in answers:
            masks.append(mask_logits(network, loader, device=device))

    def metrics(members: tuple[int, ...]) -> dict[str, float]:
        labels = mean_label_metrics([said[index][0] for index in members], said[0][1]) if said else {}
        found = labels | (mean_mask_metrics([masks[index] for index in members], loader) if masks else {})
        return found if not (said and masks) else found | {MEAN_SCORE: mean_score(found)}

    return metrics
