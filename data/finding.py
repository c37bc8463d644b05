"""A problem of a data set."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """A problem of a data set.

    ``level``: an ``error`` makes the data set unusable or changes its meaning, a ``warning`` may be
    ignored.
    """

    level: Level
    code: str
    path: str
    message: str
