"""Create, open, run and export studies from Python.

Methods that compute import torch themselves, so that a program that only reads a study needs none.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from ..search.handle import StudyHandle
from ..search.spec import StudySpec
from ..storage.artifacts import Artifacts
from ..storage.attributes import CONFIG, METRICS
from ..studies.extend import extend_study
from ..studies.registry import best_trial, delete_study, get_trial, study_row, trial_row
from ..studies.registry import open_study as open_handle
from ..studies.request import make_request
from .stores import open_to_write

if TYPE_CHECKING:
    from .bundle import Bundle


@dataclass(frozen=True)
class TrialSummary:
    """One trial of a study.

    ``values`` holds the objectives by name, empty until the trial is COMPLETE. ``config`` is the
    resolved config as plain data, None until a worker has drawn it. ``cause`` says why a trial
    ended without a result, or why it waits.
    """

    number: int
    state: str
    values: dict[str, float]
    params: dict[str, Any]
    metrics: dict[str, float]
    config: dict[str, Any] | None
    epochs: int
    cause: str | None


class Study:
    """A study in the database; ``create_study`` and ``open_study`` make one.

    Every method does what the command of the same name does.
    """

    def __init__(self, handle: StudyHandle, artifacts: Artifacts) -> None:
        self._handle = handle
        self._artifacts = artifacts

    def __repr__(self) -> str:
        return f"<Study {self.name} ({self.spec.kind})>"

    @property
    def name(self) -> str:
        """The study's name."""
        return self._handle.study.study_name

    @property
    def spec(self) -> StudySpec:
        """Everything that defines the study: kind, data, space, objectives, budget, seed."""
        return self._handle.spec

    @property
    def optuna_study(self) -> optuna.Study:
        """The Optuna study itself, for plots and analyses; do not let it run trials."""
        return self._handle.study

    def status(self) -> dict[str, Any]:
        """Return the study's row in `venation study list`: budget, trials by state, best value."""
        return study_row(self._handle)

    def trials(self) -> list[TrialSummary]:
        """Return all trials, in order of their numbers."""
        return [self._summary(trial) for trial in self._handle.study.get_trials(deepcopy=False)]

    def trial(self, number: int) -> TrialSummary:
        """Return trial ``number``; UserError that lists the numbers if there is none such."""
        return self._summary(get_trial(self._handle, number))

    def best(self) -> TrialSummary | None:
        """Return the best finished trial that keeps to the constraints; None if there is none."""
        found = best_trial(self._handle)
        return None if found is None else self._summary(found)

    def run(self, *, device: str = "auto", max_trials: int | None = None) -> int:
        """Run trials in this process until the study has ended, and return how many ended here.

        Workers on other machines may take part; ``max_trials`` stops this one earlier. ``device``
        is auto, cpu, cuda or cuda:N. Raises UserError where the study cannot continue, DataError
        where the data are not the study's.
        """
        from ..studies.context import open_context
        from ..workers.scratch import clear_scratch
        from ..workers.worker import work

        clear_scratch()
        context = open_context(self._handle, self._artifacts, device=device)
        return work([context], until_idle=True, max_trials=max_trials)

    def export(self, out: str | os.PathLike[str], *, top: int = 1, device: str = "auto") -> "Bundle":
        """Write the best trial, or an ensemble of up to ``top``, as a bundle, and return it loaded.

        Scores the sealed test split, once. Raises UserError if there is no finished trial, or if
        ``out`` exists or cannot be written.
        """
        from ..studies.export import export_studies
        from .bundle import load_bundle

        path = export_studies(self._handle.storage, self._artifacts, [self.name], out=Path(out), device=device, top=top)
        return load_bundle(path, device=device)

    def extend(self, *, trials: int | None = None, timeout: float | None = None) -> None:
        """Set the number of trials in all, the timeout in seconds since the first trial, or both.

        A study that had ended goes on: call ``run`` again, or start workers. Raises UserError for a
        limit below what is used already, and for a one-shot study.
        """
        self._handle = extend_study(self._handle, trials=trials, timeout=timeout)

    def delete(self) -> int:
        """Delete the study with its trials and files, and return the number of files deleted."""
        return delete_study(self._handle.storage, self.name, self._artifacts)

    def _summary(self, trial: FrozenTrial) -> TrialSummary:
        row = trial_row(trial, self.spec)
        return TrialSummary(
            number=trial.number,
            state=row["state"],
            values=self._values(trial),
            params=dict(trial.params),
            metrics=METRICS.get(trial) or {},
            config=CONFIG.get(trial),
            epochs=row["epochs"],
            cause=row["cause"],
        )

    def _values(self, trial: FrozenTrial) -> dict[str, float]:
        if trial.state != TrialState.COMPLETE:
            return {}
        return dict(zip(self.spec.objectives, trial.values, strict=True))


def create_study(
    name: str,
    *,
    kind: str,
    data: str | os.PathLike[str] | None = None,
    base: str | None = None,
    preset: str = "default",
    space: str | os.PathLike[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    trials: int | None = None,
    timeout: float | None = None,
    objective: str | Sequence[str] = (),
    constraint: str | Sequence[str] = (),
    warm_start: str | None = None,
    init: str | None = None,
    folds: int | None = None,
    search: str | None = None,
    sampler: str | None = None,
    pruner: str | None = None,
    eta: int | None = None,
    first_rung: int | None = None,
    seed: int | None = None,
    heartbeat: float | None = None,
    storage: str | None = None,
    artifacts: str | None = None,
) -> Study:
    """Create a study; the same name with the same options opens the study that is there.

    The parameters are the options of `venation study create`; ``settings`` is its ``--set``: config
    fields by dotted name. None leaves an option at its default. ``storage`` and ``artifacts`` are
    as in ``open_study``.

    Raises UsageError for an option, field or value that does not exist; UserError if the name is
    taken by a study with other options, or the base cannot be used; DataError for bad data.

    >>> settings = {"encoder.name": "test_resnet", "encoder.weights": "none"}
    >>> settings |= {"data.size": 32, "train.epochs": 1}
    >>> study = create_study("soy", kind="classifier", data="leaves", trials=1, settings=settings)
    >>> study
    <Study soy (classifier)>
    >>> study.run(device="cpu")
    1
    >>> study.best().state
    'COMPLETE'
    >>> bundle = study.export("from-python.bundle", device="cpu")
    >>> bundle.predict("leaf.png")[0].label in bundle.classes
    True
    """
    from ..studies.create import create_requested

    given = {
        "name": name,
        "kind": kind,
        "data": data,
        "base": base,
        "preset": preset,
        "space": space,
        "settings": settings,
        "trials": trials,
        "timeout": timeout,
        "objectives": objective,
        "constraints": constraint,
        "warm_start": warm_start,
        "init": init,
        "folds": folds,
        "search": search,
        "sampler": sampler,
        "pruner": pruner,
        "eta": eta,
        "first_rung": first_rung,
        "seed": seed,
        "heartbeat": heartbeat,
    }
    request = make_request(given)
    database, store = open_to_write(storage, artifacts)
    handle, _ = create_requested(database, store, request)
    return Study(handle, store)


def open_study(name: str, *, storage: str | None = None, artifacts: str | None = None) -> Study:
    """Open the study ``name``.

    ``storage`` is a PostgreSQL URL and ``artifacts`` a folder or bucket; without them the
    environment variables VENATION_STORAGE and VENATION_ARTIFACTS count, then the embedded server
    and a folder of this machine. Raises UserError that lists the studies if there is no such study.

    >>> study = open_study("soy")
    >>> study.status()["complete"]
    1
    >>> [trial.state for trial in study.trials()]
    ['COMPLETE']
    """
    database, store = open_to_write(storage, artifacts)
    return Study(open_handle(database, name), store)
