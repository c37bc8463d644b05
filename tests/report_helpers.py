"""Finished trials for tests of reports, with answers that the tests choose."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from optuna.trial import TrialState
from study_helpers import StudyHarness

from venation.leases.claim import claim
from venation.search.handle import StudyHandle
from venation.storage.artifacts import put_file
from venation.storage.attributes import METRICS
from venation.studies.data import load_parts
from venation.trials.image_masks import MASK_OUTCOMES, ImageMasks
from venation.trials.image_outcomes import OUTCOMES, ImageOutcomes
from venation.trials.mask_metrics import MaskOutcomes
from venation.trials.metrics import LabelOutcomes, accuracy, logloss


def val_images(handle: StudyHandle) -> tuple[list[str], np.ndarray]:
    """Return the keys and the labels of a study's validation images."""
    manifest = load_parts(Path(handle.spec.data), handle.spec.split)
    samples = manifest.split("val")
    return [manifest.key(each) for each in samples], np.array([manifest.label_index(each) for each in samples])


def answered(label_I: np.ndarray, answer_I: ArrayLike, *, classes: int, sure: float = 0.8) -> LabelOutcomes:
    """Return the outcomes of a classifier whose answers have the probability ``sure``."""
    probability_IN = np.full((len(label_I), classes), (1 - sure) / (classes - 1))
    probability_IN[np.arange(len(label_I)), np.asarray(answer_I)] = sure
    return LabelOutcomes.of(probability_IN, label_I)


def finish(
    harness: StudyHarness,
    handle: StudyHandle,
    answers: LabelOutcomes | MaskOutcomes,
    images: Sequence[str],
    *,
    value: float | None = None,
    curve: Sequence[float] = (),
) -> int:
    """End the study's next trial with these answers on ``images``; return its number."""
    lease = claim(handle, max_losses=3)
    assert lease is not None
    handle.spec.space.suggest(lease.trial, handle.spec.config)
    for step, reported in enumerate(curve):
        lease.trial.report(reported, step)
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(answers, LabelOutcomes):
            found = ImageOutcomes.of(answers, images, handle.spec.classes).write(Path(folder) / OUTCOMES)
            METRICS.set(lease.trial, {"accuracy": accuracy(answers), "logloss": logloss(answers)})
            value = accuracy(answers) if value is None else value
        else:
            found = ImageMasks(tuple(images), answers).write(Path(folder) / MASK_OUTCOMES)
        put_file(harness.artifacts, lease.trial, found)
    lease.end(TrialState.COMPLETE, value)
    return lease.trial.number
