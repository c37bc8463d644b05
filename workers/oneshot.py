"""One-shot search: the supernet of a study's first trial, and the ranking of the space by it."""

import csv
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data.dataset import LeafDataset
from ..data.loader import make_loader
from ..data.manifest import evenly_spaced
from ..leases.lease import Lease
from ..models.memory_format import place
from ..models.network import MultitaskNetwork
from ..search.handle import StudyHandle
from ..search.oneshot import ranked_configs, split_budget
from ..search.spec import StudySpec
from ..spaces.fields import set_fields
from ..spaces.space import Scalar
from ..storage.attributes import ONESHOT
from ..storage.database import study_lock
from ..studies.context import StudyContext
from ..trials.supernet import SubnetScore, Supernet
from ..trials.train import finished_epochs
from ..trials.trial_config import TrialConfig
from .ranking_plot import draw_ranking

RANKING, PICTURE = "ranking.csv", "ranking.png"

RECALIBRATED = 64  # images that BatchNorm statistics are taken from


def make_supernet(context: StudyContext, number: int, network: MultitaskNetwork) -> Supernet | None:
    """Build the supernet for trial 0 of a one-shot study; return None for other trials."""
    if context.spec.search != "oneshot" or number != 0:
        return None
    return Supernet(place(network, context.device), [config.decoder for config in ranked_configs(context.spec)])


def rank(
    context: StudyContext,
    lease: Lease,
    supernet: Supernet,
    config: TrialConfig,
    *,
    checkpoint: Path,
    between_batches: Callable[[], None],
) -> list[Path]:
    """Score every subnet, enqueue the best within the budget, and record the ranking.

    Returns the ranking's files, which are beside ``checkpoint``. Raises LeaseLost, with nothing
    enqueued, if another worker has the trial.
    """
    started = time.monotonic()
    samples = evenly_spaced(context.manifest.split("train"), RECALIBRATED)
    plain = LeafDataset(samples, context.manifest.classes, config.data.model_copy(update={"blank": 0.0}), train=False)
    scores = supernet.score(
        make_loader(plain, batch_size=config.train.batch_size, train=False, seed=config.train.seed),
        context.loaders.make(config, "val"),
        device=context.device,
        between_batches=between_batches,
    )
    spec = context.spec
    rows = _rows(scores, spec)
    seconds = {
        "train_seconds": sum(result.seconds for result in finished_epochs(checkpoint)),
        "rank_seconds": time.monotonic() - started,
    }
    paths = [checkpoint.with_name(RANKING), checkpoint.with_name(PICTURE)]
    _write_rows(rows, paths[0])
    # The widest subnet is trial 0 itself.
    top = [row for row in rows if row["params"] != spec.space.point(spec.config)][: split_budget(spec.trials)[0]]
    values, parameters = [row["value"] for row in rows], [row["parameters"] for row in rows]
    chosen = [row["rank"] - 1 for row in top]
    draw_ranking(values, parameters, chosen=chosen, names=(spec.objective, "parameters")).save(paths[1])
    record = {"objective": spec.objective, "ranked": len(rows), "top": top, "started": _started(rows, spec)}
    with study_lock(context.handle.storage, context.handle.id):
        lease.check()
        _enqueue(context.handle, [row["params"] for row in top])
        ONESHOT.set(context.handle.study, record | seconds)
    return paths


def _rows(scores: Sequence[SubnetScore], spec: StudySpec) -> list[dict[str, Any]]:
    """Return the ranking as rows, the best first; ties go to fewer parameters."""
    sign = 1 if spec.direction == "maximize" else -1
    ranked = sorted(scores, key=lambda score: (-sign * score.metrics[spec.objective], score.parameters))
    return [
        {
            "rank": place,
            "value": score.metrics[spec.objective],
            "parameters": score.parameters,
            "params": spec.space.point(spec.config.model_copy(update={"decoder": score.config})),
        }
        for place, score in enumerate(ranked, start=1)
    ]


def _write_rows(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["rank", "value", "parameters", *rows[0]["params"]])
        for row in rows:
            writer.writerow([row["rank"], row["value"], row["parameters"], *row["params"].values()])


def _started(rows: Sequence[Mapping[str, Any]], spec: StudySpec) -> list[Mapping[str, Any]]:
    """Return the rows of the points that are trained in any case: the widest and the starts."""
    points = [spec.space.point(set_fields(spec.config, start)) for start in ({}, *spec.starts)]
    return [row for row in rows if row["params"] in points]


def _enqueue(handle: StudyHandle, points: Sequence[Mapping[str, Scalar]]) -> None:
    """Enqueue points within the budget, except those that are trials already."""
    for point in points:
        num_trials = len(handle.study.get_trials(deepcopy=False))
        if handle.spec.trials is None or num_trials < handle.spec.trials:
            handle.study.enqueue_trial(dict(point), skip_if_exists=True)
