"""Run a booster trial: boost once or in folds on the features of the base network."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..bundles.record import BOOSTER
from ..leases.lease import Lease
from ..studies.context import StudyContext
from ..trials.boost import fit_booster
from ..trials.booster import Booster
from ..trials.cross_validation import CrossValidation
from ..trials.evaluate import label_metrics
from ..trials.image_outcomes import OUTCOMES
from ..trials.metrics import LabelOutcomes
from ..trials.trial_config import BoostConfig, TrialConfig
from .reporting import TrialReporter

REPORT_EVERY = 10  # boosting rounds between two reports: each report is three statements in the database


def boost_trial(
    context: StudyContext, lease: Lease, config: TrialConfig, between_steps: Callable[[], None], scratch: Path
) -> tuple[dict[str, float], list[Path]]:
    """Fit the booster of a trial; return its validation metrics and the files to store.

    The booster "head" is the classifier's own head: nothing is fitted, and there is no booster.
    ``between_steps`` is called between boosting rounds or folds, and may raise to end the run.
    """
    val = context.features.split("val")
    files: list[Path] = []
    if config.boost.booster == "head":
        folds = context.features.folds(config.boost.folds) if config.boost.folds else []
        report = TrialReporter(context, lease, last=len(folds) - 1)
        for number, fold in enumerate(folds):
            report(label_metrics(fold.held_out.probabilities, fold.held_out.y), number)
        probability_NK = val.probabilities
    else:
        if config.boost.folds:
            booster, probability_NK = _boost_folds(context, lease, config.boost, between_steps)
        else:
            booster = _boost_once(context, lease, config.boost, between_steps)
            probability_NK = booster.predict(val.x)
        booster.save(scratch / BOOSTER)
        files.append(scratch / BOOSTER)
    outcomes = context.image_outcomes(LabelOutcomes.of(probability_NK, val.y))
    return label_metrics(probability_NK, val.y), [*files, outcomes.write(scratch / OUTCOMES)]


def _boost_once(
    context: StudyContext, lease: Lease, config: BoostConfig, between_rounds: Callable[[], None]
) -> Booster:
    fitting = fit_booster(
        context.features.train_and_val, config, num_classes=context.num_classes, device=context.device.type
    )
    report = TrialReporter(context, lease, last=config.rounds - 1)
    for result in fitting:
        if (result.round + 1) % REPORT_EVERY == 0:
            between_rounds()
            if context.spec.objective == "logloss":
                report({"logloss": result.val_logloss}, result.round)
    return fitting.booster


def _boost_folds(
    context: StudyContext, lease: Lease, config: BoostConfig, between_folds: Callable[[], None]
) -> tuple[Booster, NDArray[np.float32]]:
    """Return the booster, and the out-of-fold probabilities of the folds' boosters."""
    folds = context.features.folds(config.folds)
    fitting = CrossValidation(
        folds, context.features.joined, config, num_classes=context.num_classes, device=context.device.type
    )
    report = TrialReporter(context, lease, last=len(folds) - 1)
    for result in fitting:
        between_folds()
        report(result.metrics, result.fold)
    return fitting.booster, fitting.probability_NK
