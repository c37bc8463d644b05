"""A trial's own way to the storage: all that it writes asks for its owner's token, in the statement that writes it.

Optuna's trial asks nobody: that of a worker which slept while the trial went to another one would draw, report and
record into the other's run.
"""

from collections.abc import Callable
from typing import Any, cast

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage

from . import rows

Write = Callable[..., None]


class _Fenced:
    """What a trial writes goes through ``write``; all else is ``storage``'s."""

    def __init__(self, storage: BaseStorage, write: Write) -> None:
        self._storage = storage
        self._write = write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def set_trial_param(self, _: int, name: str, value: float, distribution: BaseDistribution) -> None:
        self._write(rows.put_param, name, value, distribution)

    def set_trial_intermediate_value(self, _: int, step: int, value: float) -> None:
        self._write(rows.put_report, step, value)

    def set_trial_user_attr(self, _: int, key: str, value: Any) -> None:
        self._write(rows.put_attr, "trial_user", key, value)

    def set_trial_system_attr(self, _: int, key: str, value: Any) -> None:
        self._write(rows.put_attr, "trial_system", key, value)


def fenced(storage: BaseStorage, write: Write) -> BaseStorage:
    """``storage`` for one trial, which writes by ``write(put, *given)`` with a ``put_`` function of ``rows``."""
    return cast(BaseStorage, _Fenced(storage, write))
