"""Storage wrapper for one trial: every write checks the lease token in the same statement.

Optuna's own trial checks nothing: a suspended worker that resumes after losing its lease would
write params, reports and attributes into the new owner's run.
"""

from collections.abc import Callable
from typing import Any, cast

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage

from . import rows

Write = Callable[..., None]


class _FencedStorage:
    """A storage whose writes go through ``write``; everything else is ``storage``."""

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


def fence_storage(storage: BaseStorage, write: Write) -> BaseStorage:
    """Wrap ``storage``: each write calls ``write`` with a ``put_`` function of ``rows``."""
    return cast(BaseStorage, _FencedStorage(storage, write))
