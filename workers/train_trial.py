"""Run a trial that trains a network: train, then store the weights and a sample sheet."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
from torch import Tensor

from ..bundles.record import WEIGHTS
from ..data.loader import Loader
from ..data.manifest import Manifest, evenly_spaced
from ..data.progress import notify
from ..leases.lease import Lease
from ..leases.promotion import promote_or_pause
from ..models.network import MultitaskNetwork
from ..studies.context import StudyContext
from ..trials.checkpoint import decoder_weights, write_weights
from ..trials.evaluate import collect_task, task_metrics
from ..trials.image_masks import MASK_OUTCOMES
from ..trials.image_outcomes import OUTCOMES
from ..trials.kinds import Task
from ..trials.latency import measure_latency
from ..trials.overlay import sample_sheet
from ..trials.predict import Predictor
from ..trials.supernet import fit_supernet
from ..trials.train import EpochResult, fit
from ..trials.trial_config import TrialConfig
from .checkpoint_store import CheckpointStore
from .events import SHOWN_LIVE, EpochEnds
from .oneshot import make_supernet, rank
from .ranks import fit_on_ranks
from .reporting import TrialReporter

log = logging.getLogger(__name__)

SAMPLES = "samples.png"
NUM_SAMPLES = 8


def train_trial(
    context: StudyContext, lease: Lease, config: TrialConfig, between_steps: Callable[[], None], scratch: Path
) -> tuple[dict[str, float], list[Path]]:
    """Train the network of a trial; return its validation metrics and the files to store.

    The first trial of a one-shot study trains the supernet and ranks its subnets. ``between_steps``
    is called between epochs and between batches of the ranking, and may raise to end the run.
    """
    network = context.network(config)
    train, val = context.loaders.make(config, "train"), context.loaders.make(config, "val")
    checkpoint = scratch / "checkpoint.safetensors"
    checkpoints = CheckpointStore(context, lease)
    _restore(context, lease, checkpoints, checkpoint)
    report = TrialReporter(context, lease, last=config.train.epochs - 1)
    supernet = make_supernet(context, lease.trial.number, network)
    if supernet is None:
        results = train_network(context, config, network, (train, val), checkpoint)
    else:
        options: dict[str, Any] = {"device": context.device, "monitor": context.spec.objective}
        results = fit_supernet(supernet, train, val, config.train, checkpoint=checkpoint, **options)
    for result in results:
        report(result.metrics, result.epoch, last=result.last)
        checkpoints.save(checkpoint)
        log_epoch(context, lease.trial, config, result)
        if not result.last:
            promote_or_pause(lease, result.epoch + 1)
        between_steps()
    outcomes = collect_task(network, val, device=context.device, task=trial_task(context))
    metrics = task_metrics(outcomes, trial_task(context))
    if "latency" in context.spec.costs:
        metrics["latency"] = measure_latency(network, config.data.size_HW, context.device)
    files = _write_files(context, config, network, scratch)
    answers = context.spec.kind.facts.answers
    if "classify" in answers:
        files.append(context.image_outcomes(outcomes.labels).write(scratch / OUTCOMES))
    if "segment" in answers and outcomes.masks is not None:
        files.append(context.image_masks(outcomes.masks).write(scratch / MASK_OUTCOMES))
    if supernet is not None:
        files += rank(context, lease, supernet, config, checkpoint=checkpoint, between_batches=between_steps)
    return metrics, files


def trial_task(context: StudyContext) -> Task:
    """Return the task that the study's networks are trained for."""
    task = context.spec.kind.facts.task
    assert task is not None
    return task


def _restore(context: StudyContext, lease: Lease, checkpoints: CheckpointStore, to: Path) -> None:
    """Fetch the newest checkpoint of the trial into ``to``, and log whether the trial resumes."""
    name, number = context.handle.study.study_name, lease.trial.number
    if checkpoints.restore(to):
        log.info("study %s trial %d: resumed", name, number)
    elif context.handle.storage.get_trial(lease.trial_id).intermediate_values:
        log.warning("study %s trial %d: its checkpoint is missing: it trains from the first epoch", name, number)


def train_network(
    context: StudyContext,
    config: TrialConfig,
    network: MultitaskNetwork,
    loaders: tuple[Loader, Loader],
    checkpoint: Path,
) -> Iterator[EpochResult]:
    """Train a network on the worker's devices; return the iterator over its epochs' results."""
    options: dict[str, Any] = {"task": trial_task(context), "device": context.device, "checkpoint": checkpoint}
    options["monitor"] = context.spec.objective
    if context.processes > 1:
        return fit_on_ranks(network, *loaders, config, processes=context.processes, **options)
    return fit(network, *loaders, config.train, **options)


def _write_files(context: StudyContext, config: TrialConfig, network: MultitaskNetwork, folder: Path) -> list[Path]:
    """Write the weights and the sample sheet of a trained network; return their paths."""
    write_weights(own_weights(context, network), folder / WEIGHTS)
    return [folder / WEIGHTS, write_sheet(context, config, network, context.manifest, folder / SAMPLES)]


def own_weights(context: StudyContext, network: MultitaskNetwork) -> dict[str, Tensor]:
    """Return the weights that a trial of the study trains: the decoder's, or all."""
    return decoder_weights(network) if trial_task(context) == "segment" else network.state_dict()


def write_sheet(
    context: StudyContext, config: TrialConfig, network: MultitaskNetwork, manifest: Manifest, path: Path
) -> Path:
    """Write a sheet of a network's predictions for validation images, and return ``path``."""
    predictor = Predictor(network, manifest.classes, config.data, device=context.device)
    samples = evenly_spaced(manifest.split("val"), NUM_SAMPLES)
    sample_sheet(predictor, samples, heat=trial_task(context) == "classify").save(path)
    return path


def log_epoch(
    context: StudyContext, trial: optuna.Trial, config: TrialConfig, result: EpochResult, *, fold: str = ""
) -> None:
    """Log the losses and the objective of an epoch; ``fold`` is a part of the line."""
    objective = context.spec.objective
    log.info(
        "study %s trial %d: %sepoch %d/%d loss %.4f %s %.4f (%.1f s)",
        context.handle.study.study_name,
        trial.number,
        fold,
        result.epoch + 1,
        config.train.epochs,
        result.losses["total"],
        objective,
        result.metrics[objective],
        result.seconds,
        extra=SHOWN_LIVE,
    )
    loss, value = result.losses["total"], result.metrics[objective]
    notify(EpochEnds(result.epoch + 1, loss, objective, value, result.seconds, fold.strip(), result.metrics))
    if result.last and result.epoch + 1 < config.train.epochs:
        log.info(
            "study %s trial %d: ends here, because %d epochs brought no better one",
            context.handle.study.study_name,
            trial.number,
            config.train.patience,
        )
