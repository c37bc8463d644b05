"""All that a report reads of a study: trials, their order, their files, and its images."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from ..errors import UserError
from ..search.handle import StudyHandle
from ..search.spec import StudySpec
from ..search.ties import ties_first
from ..storage.artifacts import Artifacts, StoreFailed, get_file
from ..studies.data import StudyData, open_data
from ..studies.registry import no_result
from ..studies.results import is_feasible, signed_values
from ..trials.image_masks import MASK_OUTCOMES, ImageMasks
from ..trials.image_outcomes import OUTCOMES, ImageOutcomes
from ..trials.mask_metrics import MASK_METRICS
from .names import metric_name

# The trials of the leaderboard.
SHOWN_TRIALS = 20

Answers = ImageOutcomes | ImageMasks


@dataclass(frozen=True)
class StudyFacts:
    """A study as a report shows it.

    ``trials`` are all trials, ``ranked`` the finished ones that meet the constraints, the best
    first. ``answers`` are the stored answers on the validation images of the first of them, by
    trial number, where they are stored: masks if these give the main objective, else labels.
    ``data`` is None, with a sentence in ``no_images``, if the images are not on this machine, or
    are others.
    """

    handle: StudyHandle
    artifacts: Artifacts
    trials: Sequence[FrozenTrial]
    ranked: Sequence[FrozenTrial]
    answers: Mapping[int, Answers]
    data: StudyData | None
    no_images: str

    @property
    def name(self) -> str:
        """The study's name."""
        return self.handle.study.study_name

    @property
    def spec(self) -> StudySpec:
        """The study's spec."""
        return self.handle.spec

    @property
    def metric(self) -> str:
        """The main objective, as people write it."""
        return metric_name(self.spec.objective)

    @property
    def best(self) -> FrozenTrial:
        """The best finished trial."""
        return self.ranked[0]

    @property
    def labels(self) -> ImageOutcomes | None:
        """The best trial's answers, if it answers with labels and they are stored."""
        found = self.answers.get(self.best.number)
        if isinstance(found, ImageMasks) and "classify" in self.spec.kind.facts.answers:
            found = _answers(self.handle, self.artifacts, self.best, masks=False)
        return found if isinstance(found, ImageOutcomes) else None


def read_facts(handle: StudyHandle, artifacts: Artifacts, data: Path | None) -> StudyFacts:
    """Read a study; ``data`` replaces the place of its images.

    Raises UserError if no trial has finished, DataError if ``data`` is given and has other images.
    """
    trials = handle.study.get_trials(deepcopy=False)
    ranked = rank_trials(trials, handle.spec)
    if not ranked:
        raise no_result(handle)
    facts = handle.spec.kind.facts
    masks = "classify" not in facts.answers or ("segment" in facts.answers and handle.spec.objective in MASK_METRICS)
    read = {trial.number: _answers(handle, artifacts, trial, masks=masks) for trial in ranked[:SHOWN_TRIALS]}
    answers = {number: found for number, found in read.items() if found is not None}
    return StudyFacts(handle, artifacts, trials, ranked, answers, *_images(handle, artifacts, data))


def rank_trials(trials: Sequence[FrozenTrial], spec: StudySpec) -> list[FrozenTrial]:
    """Return the finished trials that meet the constraints, best first; see ``best_trial_id``."""
    done = (trial for trial in trials if trial.state == TrialState.COMPLETE and is_feasible(trial))
    kept = ties_first(done, spec.tie_break)
    # Stable, and the last key of lexsort counts first.
    return [kept[index] for index in np.lexsort(-signed_values(kept, spec).T[::-1])] if kept else []


def _answers(handle: StudyHandle, artifacts: Artifacts, trial: FrozenTrial, *, masks: bool) -> Answers | None:
    """Return a trial's stored ``masks`` or labels; None if there are none, or not any more."""
    with tempfile.TemporaryDirectory(prefix="venation-") as folder:
        try:
            name = MASK_OUTCOMES if masks else OUTCOMES
            path = get_file(artifacts, trial, name, to=Path(folder), storage=handle.storage)
        except StoreFailed:
            raise
        except UserError:
            return None
        return ImageMasks.read(path) if masks else ImageOutcomes.read(path)


def _images(handle: StudyHandle, artifacts: Artifacts, place: Path | None) -> tuple[StudyData | None, str]:
    """Return the study's images; None and the reason if they are not where the study has them."""
    try:
        return open_data(handle, artifacts, place), ""
    except StoreFailed:
        raise
    except UserError as error:
        if place is not None:
            raise
        return None, f"There are no pictures: {error} Give the place of the images with --data."
