"""Run one trial of each kind: suggest a config, fit, report, store files, return the result."""

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
from numpy.typing import NDArray
from sqlalchemy import Connection

from ..data.manifest import evenly_spaced
from ..leases import rows
from ..leases.lease import Lease
from ..leases.promotion import promote_or_pause
from ..search.spec import StudySpec
from ..spaces.fields import set_fields
from ..storage import attributes
from ..storage.artifacts import StoredFile, file_attr, remove_blob, store_file
from ..studies.base import recorded_config
from ..studies.context import WEIGHTS, StudyContext
from ..trials.boost import fit_booster
from ..trials.booster import Booster
from ..trials.checkpoint import decoder_weights, write_weights
from ..trials.cross_validation import CrossValidation
from ..trials.evaluate import evaluate, label_metrics
from ..trials.latency import measure_latency
from ..trials.overlay import sample_sheet
from ..trials.predict import Predictor
from ..trials.provenance import collect_provenance
from ..trials.supernet import fit_supernet
from ..trials.train import EpochResult, fit
from ..trials.trial_config import BoostConfig, TrialConfig
from .checkpoint_store import CheckpointStore
from .costs import affordable_costs
from .oneshot import make_supernet, rank
from .reporting import TrialReporter
from .scratch import scratch_folder

log = logging.getLogger(__name__)

BOOSTER = "booster.ubj"
METRICS = "metrics.json"
SAMPLES = "samples.png"
NUM_SAMPLES = 8
REPORT_EVERY = 10  # boosting rounds between two reports: each report is three statements in the database


@dataclass(frozen=True)
class Result:
    """The result of a trial: values, metrics, and files that are stored but not yet recorded.

    ``value`` is that of the main objective; ``others`` are those of the further objectives, in the
    study's order.
    """

    value: float
    metrics: dict[str, float]
    files: tuple[StoredFile, ...]
    others: tuple[float, ...] = ()

    @property
    def values(self) -> tuple[float, ...]:
        """The values of all objectives, the main one first."""
        return (self.value, *self.others)

    def record(self, connection: Connection, trial_id: int) -> None:
        """Record metrics and files, in the transaction of ``connection`` that ends the trial."""
        for file in self.files:
            rows.set_attr(connection, trial_id, *file_attr(file))
        rows.set_attr(connection, trial_id, attributes.METRICS, self.metrics)

    def discard(self, context: StudyContext) -> None:
        """Remove the stored files of a result that is not recorded."""
        _remove(context, self.files)


def run_trial(context: StudyContext, lease: Lease, between_epochs: Callable[[], None]) -> Result:
    """Run the trial of ``lease``; return its metrics on the validation split and its costs as
    values.

    A trial whose network breaks a constraint is pruned before the network is built. The caller
    records or discards the result. ``between_epochs`` is called after every epoch and may raise to
    end the run; the next run of the trial continues from the checkpoint. Raises TrialPruned,
    TrialFailed, LeaseLost, and Paused if the trial now waits at a rung.
    """
    config = _resolve(context, lease.trial)
    provenance = collect_provenance(str(context.device))
    attributes.CONFIG.set(lease.trial, config.model_dump(mode="json"))
    attributes.PROVENANCE.set(lease.trial, provenance.model_dump(mode="json"))
    costs = affordable_costs(context, lease, config)
    run = _RUNNERS[context.spec.kind.facts.runner]
    with scratch_folder() as scratch:
        metrics, paths = run(context, lease, config, between_epochs, scratch)
        path = scratch / METRICS
        path.write_text(json.dumps(metrics, indent=2))
        lease.check()
        # Use the predicted latency, as at the rungs: all trials share its table, but not a
        # measurement.
        main, *others = (({**metrics, **costs})[name] for name in context.spec.objectives)
        return Result(main, metrics, _store(context, [*paths, path]), tuple(others))


def _store(context: StudyContext, paths: Iterable[Path]) -> tuple[StoredFile, ...]:
    files: list[StoredFile] = []
    try:
        for path in paths:
            files.append(store_file(context.artifacts, path))
    except BaseException:
        _remove(context, files)
        raise
    return tuple(files)


def _remove(context: StudyContext, files: Iterable[StoredFile]) -> None:
    for file in files:
        remove_blob(context.artifacts, file.artifact_id)


def _resolve(context: StudyContext, trial: optuna.Trial) -> TrialConfig:
    spec = context.spec
    start = spec.config.with_base(None if spec.base is None else recorded_config(context.base))
    config = spec.space.suggest(trial, start)
    return set_fields(config, _own_seeds(spec, trial))


def _own_seeds(spec: StudySpec, trial: optuna.Trial) -> dict[str, int]:
    """Return new seeds for a trial that would repeat another one exactly; none if its params are
    new.

    In an empty space every trial repeats the recipe. A trial that has begun keeps its seeds,
    because its checkpoint depends on them.
    """
    begun = attributes.CONFIG.get(trial)
    if begun is not None:
        return {"train.seed": begun["train"]["seed"], "boost.seed": begun["boost"]["seed"]}
    if trial.params and not _repeats(trial):
        return {}
    seed = spec.trial_seed(trial.number)
    return {"train.seed": seed, "boost.seed": seed}


def _repeats(trial: optuna.Trial) -> bool:
    """Return whether an earlier trial has the same params, sampled or enqueued."""
    # The trials that ``prepare`` read: a large study is not read twice.
    trials = trial.study._get_trials(deepcopy=False, use_cache=True)
    earlier = [other for other in trials if other.number < trial.number]
    return any((other.params or attributes.FIXED_PARAMS.get(other)) == trial.params for other in earlier)


def _train(
    context: StudyContext, lease: Lease, config: TrialConfig, between_epochs: Callable[[], None], scratch: Path
) -> tuple[dict[str, float], list[Path]]:
    """Return the metrics and the files to store."""
    objective = context.spec.objective
    task = context.spec.kind.facts.task
    assert task is not None
    network = context.network(config)
    train, val = context.loaders.make(config, "train"), context.loaders.make(config, "val")
    checkpoint = scratch / "checkpoint.safetensors"
    checkpoints = CheckpointStore(context, lease)
    if checkpoints.restore(checkpoint):
        log.info("study %s trial %d: resumed", context.handle.study.study_name, lease.trial.number)
    elif context.handle.storage.get_trial(lease.trial_id).intermediate_values:
        log.warning(
            "study %s trial %d: its checkpoint is missing: it trains from the first epoch",
            context.handle.study.study_name,
            lease.trial.number,
        )
    report = TrialReporter(context, lease, last=config.train.epochs - 1)
    supernet = make_supernet(context, lease.trial.number, network)
    if supernet is None:
        results = fit(
            network,
            train,
            val,
            config.train,
            task=task,
            device=context.device,
            monitor=objective,
            checkpoint=checkpoint,
        )
    else:
        results = fit_supernet(
            supernet, train, val, config.train, device=context.device, monitor=objective, checkpoint=checkpoint
        )
    for result in results:
        report(result.metrics, result.epoch)
        checkpoints.save(checkpoint)
        _log_epoch(context, lease.trial, config, result)
        if result.epoch + 1 < config.train.epochs:
            promote_or_pause(lease, result.epoch + 1)
        between_epochs()
    metrics = evaluate(network, val, device=context.device, task=task)
    if "latency" in context.spec.costs:
        metrics["latency"] = measure_latency(network, config.data.size_HW, context.device)
    weights = decoder_weights(network) if task == "segment" else network.state_dict()
    write_weights(weights, scratch / WEIGHTS)
    predictor = Predictor(network, context.manifest.classes, config.data, device=context.device)
    sheet = sample_sheet(predictor, evenly_spaced(context.manifest.split("val"), NUM_SAMPLES), heat=task == "classify")
    sheet.save(scratch / SAMPLES)
    files = [scratch / WEIGHTS, scratch / SAMPLES]
    if supernet is not None:
        files += rank(context, lease, supernet, config, checkpoint=checkpoint, between_batches=between_epochs)
    return metrics, files


def _log_epoch(context: StudyContext, trial: optuna.Trial, config: TrialConfig, result: EpochResult) -> None:
    objective = context.spec.objective
    log.info(
        "study %s trial %d: epoch %d/%d loss %.4f %s %.4f (%.1f s)",
        context.handle.study.study_name,
        trial.number,
        result.epoch + 1,
        config.train.epochs,
        result.losses["total"],
        objective,
        result.metrics[objective],
        result.seconds,
    )


def _boost(
    context: StudyContext, lease: Lease, config: TrialConfig, between_epochs: Callable[[], None], scratch: Path
) -> tuple[dict[str, float], list[Path]]:
    """Return the metrics and the files to store."""
    val = context.features.split("val")
    if config.boost.booster == "head":
        folds = context.features.folds(config.boost.folds) if config.boost.folds else []
        report = TrialReporter(context, lease, last=len(folds) - 1)
        for number, fold in enumerate(folds):
            report(label_metrics(fold.held_out.probabilities, fold.held_out.y), number)
        return label_metrics(val.probabilities, val.y), []
    if config.boost.folds:
        booster, probability_NK = _boost_folds(context, lease, config.boost, between_epochs)
    else:
        booster = _boost_once(context, lease, config.boost, between_epochs)
        probability_NK = booster.predict(val.x)
    booster.save(scratch / BOOSTER)
    return label_metrics(probability_NK, val.y), [scratch / BOOSTER]


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


_Runner = Callable[[StudyContext, Lease, TrialConfig, Callable[[], None], Path], tuple[dict[str, float], list[Path]]]
_RUNNERS: Mapping[str, _Runner] = {"train": _train, "boost": _boost}
