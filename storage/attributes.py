"""Every key under which Venation stores data in Optuna's four attribute tables.

A key never changes: this version reads databases of earlier versions, and workers of several
versions may share one. ``make docs-reference`` writes docs/reference/attributes.md from this list.
"""

from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, TypeVar

import optuna
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial

Table = Literal["study_user", "study_system", "trial_user", "trial_system"]
Owner = optuna.Study | FrozenStudy | optuna.Trial | FrozenTrial
Value = TypeVar("Value", bound=dict[str, Any] | list[Any] | str | int | float)


@dataclass(frozen=True)
class Attribute(Generic[Value]):
    """A key of the table ``<table>_attributes``, and the type of its JSON values.

    A key that ends with a colon is a prefix, which ``at`` completes. ``since`` is the first version
    of Venation that uses the key, ``writer`` the module that writes it, or Optuna. ``formerly`` is
    the table of earlier versions, whose rows are still read.
    """

    key: str
    table: Table
    value_type: type[Value]
    since: str
    writer: str
    meaning: str
    formerly: Table | None = None

    @property
    def is_prefix(self) -> bool:
        """Whether stored keys are longer than this one and begin with it."""
        return self.key.endswith(":")

    @property
    def defined_by_optuna(self) -> bool:
        """Whether Optuna defines the key, so that its own tools read it too."""
        return self.key.startswith(("artifacts:", "constraints:", "fixed_params", "study:"))

    def at(self, name: str) -> "Attribute[Value]":
        """Return the attribute whose key is this prefix followed by ``name``."""
        return replace(self, key=self.key + name)

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables that may hold the key, the present one first."""
        return (self.table,) if self.formerly is None else (self.table, self.formerly)

    def get(self, owner: Owner) -> Value | None:
        """Return the value that a study or trial has; None if it has none."""
        for table in self.tables:
            attrs = owner.user_attrs if table.endswith("_user") else _system_attrs(owner)
            if self.key in attrs:
                return attrs[self.key]
        return None

    def sql(self, trial: str, key: str) -> str:
        """Return SQL for the stored JSON of a trial, NULL if it has none.

        ``trial`` is SQL for the trial's id, ``key`` the name of the parameter with the key.
        """
        reads = [
            f"(SELECT value_json FROM {t}_attributes WHERE trial_id = {trial} AND key = :{key})" for t in self.tables
        ]
        return f"coalesce({', '.join(reads)}, NULL)"

    def need(self, owner: Owner) -> Value:
        """Return the value; raise KeyError if there is none."""
        value = self.get(owner)
        if value is None:
            raise KeyError(self.key)
        return value

    def set(self, owner: optuna.Study | optuna.Trial, value: Value) -> None:
        """Store the value with a study or a running trial."""
        if self.table.endswith("_user"):
            owner.set_user_attr(self.key, value)
        else:
            assert isinstance(owner, optuna.Trial), "of a study, only files are system attributes"
            owner.storage.set_trial_system_attr(owner._trial_id, self.key, value)


def _system_attrs(owner: Owner) -> dict[str, Any]:
    """Return the system attributes, of a study or a running trial from the database."""
    if isinstance(owner, optuna.Study):
        return owner._storage.get_study_system_attrs(owner._study_id)
    if isinstance(owner, optuna.Trial):
        return owner.storage.get_trial_system_attrs(owner._trial_id)
    return owner.system_attrs


# fmt: off

SPEC = Attribute("venation:spec", "study_user", dict, "0.1.0", "studies/create.py",
    "The study's StudySpec, written last: a study without it is not created completely. Version 0.1.0 wrote"
    " `objective`, one name, in place of the list `objectives`.")
UID = Attribute("venation:uid", "study_user", str, "0.1.0", "studies/create.py",
    "A random id. The names of the study's checkpoints and logs in the artifact store begin with it.")
CREATED = Attribute("created", "study_user", str, "0.1.0", "studies/create.py",
    "When the study was created (ISO 8601, UTC). For the dashboard; Venation does not read it.")
STARTED = Attribute("started", "study_user", float, "0.2.0", "leases/budget.py",
    "When a worker claimed the study's first trial, in seconds since 1970. The study's timeout counts from here.")
SUSPENDED = Attribute("paused", "study_user", str, "0.2.0", "leases/suspension.py",
    "The reason why the study is paused. Absent from a study that is not.")
BASE = Attribute("venation:base", "study_user", int, "0.1.0", "studies/base.py",
    "The number of the base study's trial whose weights this study freezes.")
PLAN = Attribute("venation:plan", "study_user", dict, "0.2.0", "insight/plan.py",
    "The newest plan of `venation study plan`: measured points and estimated hours.")
SIGNAL = Attribute("signal", "study_user", dict, "0.2.0", "insight/signal.py",
    "The newest verdict of `venation study signal`.")
SIGNAL_RESULT = Attribute("venation:signal:", "study_user", dict, "0.2.0", "insight/signal.py",
    "The result of one training of `venation study signal`: `value`, or the `cause` of a failure. The key ends with a"
    " digest of the config.")
ONESHOT = Attribute("oneshot", "study_user", dict, "0.2.0", "workers/oneshot.py",
    "A summary of the ranking by the supernet of a one-shot study, and the seconds that it took.")
PROBE = Attribute("probe", "study_user", dict, "0.2.0", "studies/baseline.py",
    "The linear probe that the trials have to beat: its encoder, image size and validation metrics, or in `missing`"
    " why there is none. Its answers are the study's file `probe.json`.")
LATENCY = Attribute("venation:latency:", "study_user", float, "0.2.0", "workers/costs.py",
    "The measured latency of one network on one device, in milliseconds. The key ends with a digest of both.")
STUDY_FILE = Attribute("artifacts:", "study_system", str, "0.1.0", "storage/artifacts.py",
    "The record of one file of the study, in Optuna's form with `sha256` and `uploaded` added: JSON inside a JSON"
    " string. The key ends with the artifact's id.")
METRIC_NAMES = Attribute("study:metric_names", "study_system", list, "0.2.0", "Optuna",
    "The names of the objectives, for the dashboard. Venation sets them through Optuna and does not read them.")

CONFIG = Attribute("config", "trial_system", dict, "0.1.0", "workers/objective.py",
    "The resolved TrialConfig. Export and predict read it and never the search space.",
    formerly="trial_user")
PROVENANCE = Attribute("provenance", "trial_system", dict, "0.1.0", "workers/objective.py",
    "Versions, commit, machine and device of the worker that ran the trial last.",
    formerly="trial_user")
METRICS = Attribute("metrics", "trial_system", dict, "0.1.0", "workers/objective.py",
    "The validation metrics of a finished trial by name.",
    formerly="trial_user")
METRIC = Attribute("metric:", "trial_user", float, "0.2.0", "workers/objective.py",
    "One number of the trial, for sorting in the dashboard: a validation metric, a cost, or as `versus_probe` the"
    " accuracy minus the linear probe's. Venation does not read it. The key ends with the metric.")
VERSUS_PROBE = Attribute("versus_probe", "trial_system", dict, "0.2.0", "workers/objective.py",
    "The trial's accuracy minus the linear probe's on the same validation images: difference, 95 % interval, images"
    " that only one of them answers correctly, p-value of McNemar's exact test.",
    formerly="trial_user")
FOLDS = Attribute("folds", "trial_system", list, "0.2.0", "workers/fold_trial.py",
    "The finished folds of a trial: number of images, trained epochs, best epoch (from 1) and validation metrics.",
    formerly="trial_user")
COSTS = Attribute("costs", "trial_system", dict, "0.2.0", "workers/costs.py",
    "The costs of the trial's network by name, known before training: parameters, MACs, predicted latency.",
    formerly="trial_user")
CAUSE = Attribute("cause", "trial_user", str, "0.1.0", "leases/lease.py",
    "Why the trial failed, was pruned, or waits for another attempt.")
HISTORY = Attribute("history", "trial_system", list, "0.2.0", "leases/history.py",
    "The ended attempts at the trial, oldest first: worker, device, start, end, epochs, and how the attempt ended.",
    formerly="trial_user")
MIGRATED_FROM = Attribute("migrated_from", "trial_user", str, "0.2.0", "studies/migrate.py",
    "The origin of a trial that `venation study migrate` copied, as STUDY:NUMBER.")
LEASE = Attribute("venation:lease", "trial_system", str, "0.1.0", "leases/rows.py",
    "The token of the worker that owns the trial. Every write to a running trial compares it.")
HOLDER = Attribute("venation:holder", "trial_system", dict, "0.2.0", "leases/rows.py",
    "The latest attempt at the trial: its number, host, process id, device and start.")
NOT_BEFORE = Attribute("venation:not_before", "trial_system", float, "0.2.0", "leases/rows.py",
    "The earliest time of the next attempt, in seconds since 1970. Removed when a worker claims the trial.")
LOSSES = Attribute("venation:losses", "trial_system", int, "0.1.0", "leases/reaper.py",
    "How many workers were lost while they ran the trial.")
RUNGS_PASSED = Attribute("venation:rungs", "trial_system", int, "0.2.0", "leases/asha_queue.py",
    "How many rungs the trial was promoted past.")
PAUSED = Attribute("venation:paused", "trial_system", dict, "0.2.0", "leases/promotion.py",
    "Where the trial was paused last: rung, epochs and value. For people; the search does not read it.")
CURVES = Attribute("venation:curves", "trial_system", dict, "0.2.0", "workers/reporting.py",
    "In a study with several objectives or rungs: the curves of the further metrics, and of the metric that decides"
    " ties, by name, then by step.")
TRIAL_FILE = Attribute("artifacts:", "trial_system", str, "0.1.0", "storage/artifacts.py",
    "The record of one file of the trial, in the form of a study's.")
CONSTRAINT = Attribute("constraints:", "trial_system", float, "0.2.0", "workers/costs.py",
    "How far the trial exceeds one constraint, in Optuna's form: above 0 it is infeasible. The key ends with the"
    " constraint.")
FIXED_PARAMS = Attribute("fixed_params", "trial_system", dict, "0.1.0", "Optuna",
    "The params of an enqueued trial, by name.")

# fmt: on

ALL: tuple[Attribute[Any], ...] = tuple(value for value in list(globals().values()) if isinstance(value, Attribute))

# A trial's records for Venation itself: the dashboard does not show them among the attributes.
RECORDS: tuple[Attribute[Any], ...] = (CONFIG, PROVENANCE, METRICS, VERSUS_PROBE, FOLDS, COSTS, HISTORY)


def records_of(trial: FrozenTrial) -> dict[str, Any]:
    """Return the records of a trial by key, without those that it lacks."""
    return {record.key: value for record in RECORDS if (value := record.get(trial)) is not None}
