"""Run one trial of any kind: suggest its config, run it, store its files, return the result."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import optuna
from sqlalchemy import Connection

from ..data.progress import notify
from ..leases.attribute_rows import set_attr
from ..leases.lease import Lease
from ..search.init_source import init_origin
from ..search.spec import StudySpec
from ..spaces.fields import set_fields
from ..storage import attributes
from ..storage.artifacts import StoredFile, file_attr, remove_blob, store_file
from ..studies.base import recorded_config
from ..studies.context import StudyContext
from ..trials.auto_fields import resolve_auto
from ..trials.image_outcomes import OUTCOMES
from ..trials.provenance import collect_provenance
from ..trials.trial_config import TrialConfig
from .boost_trial import boost_trial
from .costs import affordable_costs
from .events import TrialBegins
from .fold_trial import train_folds
from .scratch import scratch_folder
from .train_trial import train_trial

METRICS = "metrics.json"


@dataclass(frozen=True)
class Result:
    """The result of a trial: values, metrics, and files that are stored but not yet recorded.

    ``value`` is that of the main objective; ``others`` are those of the further objectives, in the
    study's order. ``versus_probe`` compares the trial with the study's linear probe.
    """

    value: float
    metrics: dict[str, float]
    files: tuple[StoredFile, ...]
    others: tuple[float, ...] = ()
    versus_probe: dict[str, Any] | None = None

    @property
    def values(self) -> tuple[float, ...]:
        """The values of all objectives, the main one first."""
        return (self.value, *self.others)

    def record(self, connection: Connection, trial_id: int) -> None:
        """Record metrics and files, in the transaction of ``connection`` that ends the trial."""
        for file in self.files:
            set_attr(connection, trial_id, *file_attr(file))
        set_attr(connection, trial_id, attributes.METRICS, self.metrics)
        numbers = dict(self.metrics)
        if self.versus_probe is not None:
            set_attr(connection, trial_id, attributes.VERSUS_PROBE, self.versus_probe)
            numbers[attributes.VERSUS_PROBE.key] = self.versus_probe["difference"]
        for name, number in numbers.items():
            if isfinite(number):
                set_attr(connection, trial_id, attributes.METRIC.at(name), number)

    def discard(self, context: StudyContext) -> None:
        """Remove the stored files of a result that is not recorded."""
        _remove(context, self.files)


def run_trial(context: StudyContext, lease: Lease, between_epochs: Callable[[], None]) -> Result:
    """Run the trial of ``lease``; return its validation metrics and its costs as values.

    A trial whose network breaks a constraint is pruned before the network is built. The caller
    records or discards the result. ``between_epochs`` is called after every epoch and may raise to
    end the run; the next run of the trial continues from the checkpoint. Raises TrialPruned,
    TrialFailed, LeaseLost, and Paused if the trial now waits at a rung.
    """
    config = _resolve(context, lease.trial)
    provenance = collect_provenance(str(context.device))
    attributes.CONFIG.set(lease.trial, config.model_dump(mode="json"))
    record = provenance.model_dump(mode="json") | init_origin(context.spec.init)
    if context.processes > 1:
        record["processes"] = context.processes
    attributes.PROVENANCE.set(lease.trial, record)
    name, epochs = context.handle.study.study_name, config.train.epochs if context.spec.kind.facts.has_epochs else 0
    key = f"{attributes.UID.need(context.handle.study)}-{lease.trial.number}"
    notify(TrialBegins(name, lease.trial.number, lease.trial.params, epochs, key))
    costs = affordable_costs(context, lease, config)
    context.baseline.prepare()
    run = train_folds if context.spec.folds else _RUNNERS[context.spec.kind.facts.runner]
    with scratch_folder() as scratch:
        metrics, paths = run(context, lease, config, between_epochs, scratch)
        path = scratch / METRICS
        path.write_text(json.dumps(metrics, indent=2))
        lease.check()
        # Use the predicted latency, as at the rungs: all trials share its table, but not a
        # measurement.
        main, *others = (({**metrics, **costs})[name] for name in context.spec.objectives)
        versus = context.baseline.compare(scratch / OUTCOMES) if scratch / OUTCOMES in paths else None
        return Result(main, metrics, _store(context, [*paths, path]), tuple(others), versus)


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
    start = spec.on_base(None if spec.base is None else recorded_config(context.base))
    config = resolve_auto(spec.space.suggest(trial, start))
    return set_fields(config, _own_seeds(spec, trial))


def _own_seeds(spec: StudySpec, trial: optuna.Trial) -> dict[str, int]:
    """Return new seeds for a trial that would repeat another one; none if its params are new.

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


_Runner = Callable[[StudyContext, Lease, TrialConfig, Callable[[], None], Path], tuple[dict[str, float], list[Path]]]
_RUNNERS: Mapping[str, _Runner] = {"train": train_trial, "boost": boost_trial}
