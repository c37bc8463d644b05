"""Run a trial with folds that trains networks: one network a fold, judged by their mean."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..leases.lease import Lease
from ..models.network import MultitaskNetwork
from ..storage.attributes import FOLDS
from ..studies.context import StudyContext
from ..trials.checkpoint import load_weights, read_weights
from ..trials.evaluate import collect_task, task_metrics
from ..trials.image_masks import MASK_OUTCOMES, ImageMasks
from ..trials.image_outcomes import OUTCOMES, ImageOutcomes
from ..trials.latency import measure_latency
from ..trials.train import EpochResult, finished_epochs
from ..trials.trial_config import TrialConfig
from .checkpoint_store import CheckpointStore
from .fold_progress import FoldProgress
from .reporting import TrialReporter
from .train_trial import SAMPLES, log_epoch, own_weights, train_network, trial_task, write_sheet

log = logging.getLogger(__name__)


def train_folds(
    context: StudyContext, lease: Lease, config: TrialConfig, between_steps: Callable[[], None], scratch: Path
) -> tuple[dict[str, float], list[Path]]:
    """Train one network for each fold; return the means of their metrics and the files to store.

    A fold scores the images that its network did not learn from. After each fold its metrics are
    reported, with the fold as the step, and the trial may be pruned. A fold that has finished is
    not trained again after a loss of the worker; the running one continues after its last epoch.
    ``between_steps`` is called between epochs, and may raise to end the run.
    """
    progress = FoldProgress(CheckpointStore(context, lease), scratch)
    if progress.restore():
        where = (context.handle.study.study_name, lease.trial.number, len(progress.records))
        log.info("study %s trial %d: resumed after %d finished folds", *where)
    report = TrialReporter(context, lease, last=len(context.folds) - 1)
    for fold in range(len(context.folds)):
        if fold == len(progress.records):
            _train_fold(context, lease, config, progress, between_steps)
        FOLDS.set(lease.trial, [_summary(record) for record in progress.records])
        report(progress.records[fold]["metrics"], fold)
    metrics = mean_metrics([record["metrics"] for record in progress.records])
    network = _load(context, config, progress.weights(0))
    if "latency" in context.spec.costs:
        metrics["latency"] = measure_latency(network, config.data.size_HW, context.device)
    files = [progress.weights(fold) for fold in range(len(progress.records))]
    files.append(write_sheet(context, config, network, context.folds[0], scratch / SAMPLES))
    answers = context.spec.kind.facts.answers
    if "classify" in answers:
        outcomes = [ImageOutcomes.from_record(record["outcomes"]) for record in progress.records]
        files.append(ImageOutcomes.joined(outcomes).write(scratch / OUTCOMES))
    if "segment" in answers and all("masks" in record for record in progress.records):
        masks = [ImageMasks.from_record(record["masks"]) for record in progress.records]
        files.append(ImageMasks.joined(masks).write(scratch / MASK_OUTCOMES))
    return metrics, files


def mean_metrics(folds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each metric that every fold has, each fold with the same weight."""
    names = [name for name in folds[0] if all(name in metrics for metrics in folds)]
    return {name: float(np.mean([metrics[name] for metrics in folds])) for name in names}


def _train_fold(
    context: StudyContext, lease: Lease, config: TrialConfig, progress: FoldProgress, between_steps: Callable[[], None]
) -> None:
    """Train the next fold, or the rest of it, and add it to ``progress``."""
    fold, task = len(progress.records), trial_task(context)
    loaders, network = context.fold_loaders(fold), context.network(config)
    train, val = loaders.make(config, "train"), loaders.make(config, "val")
    for result in train_network(context, config, network, (train, val), progress.checkpoint):
        progress.save()
        log_epoch(context, lease.trial, config, result, fold=f"fold {fold + 1}/{len(context.folds)} ")
        between_steps()
    outcomes = collect_task(network, val, device=context.device, task=task)
    record = {"metrics": task_metrics(outcomes, task), **_epochs(finished_epochs(progress.checkpoint))}
    answers = context.spec.kind.facts.answers
    if "classify" in answers:
        record["outcomes"] = context.image_outcomes(outcomes.labels, context.folds[fold]).record()
    if "segment" in answers and outcomes.masks is not None:
        record["masks"] = context.image_masks(outcomes.masks, context.folds[fold]).record()
    record["images"] = len(context.folds[fold].split("val"))
    progress.finish(own_weights(context, network), record)


def _epochs(results: Sequence[EpochResult]) -> dict[str, int]:
    return {"epochs": len(results), "best_epoch": 1 + max(result.epoch for result in results if result.best)}


def _summary(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: record[name] for name in ("images", "epochs", "best_epoch")} | record["metrics"]


def _load(context: StudyContext, config: TrialConfig, weights: Path) -> MultitaskNetwork:
    """Return the network of a finished fold."""
    network = context.network(config)
    load_weights(network, network.state_dict() | read_weights(weights), source=str(weights))
    return network.to(context.device)
