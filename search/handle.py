"""An open study: its Optuna study, spec and storage."""

import threading
from dataclasses import dataclass, field

import optuna
from optuna.storages import RDBStorage

from .spec import StudySpec


@dataclass(frozen=True)
class StudyHandle:
    """A loaded study with its spec and the storage below it."""

    study: optuna.Study
    spec: StudySpec
    storage: RDBStorage
    _read: threading.Event = field(default_factory=threading.Event, init=False, repr=False, compare=False)

    @property
    def id(self) -> int:
        """The study's id in the database."""
        return self.study._study_id

    def read_trials(self) -> None:
        """Make Optuna read all trials, once.

        With a large study this takes minutes, so call it without a lock or a running trial. Raises
        KeyError if the study was deleted.
        """
        if not self._read.is_set():
            self.study.get_trials(deepcopy=False, states=())
            self._read.set()
