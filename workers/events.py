"""The events of a worker's trials, for the listener of its progress (``data.progress``)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# The ``extra`` of log lines whose content a live display shows in another form.
SHOWN_LIVE = {"shown_live": True}


@dataclass(frozen=True)
class TrialBegins:
    """A trial begins, or goes on; ``params`` are its own, ``epochs`` 0 for a booster."""

    study: str
    number: int
    params: Mapping[str, Any]
    epochs: int


@dataclass(frozen=True)
class EpochEnds:
    """An epoch has ended, the ``epoch``-th from 1; ``fold`` names the fold, or is empty."""

    epoch: int
    loss: float
    objective: str
    value: float
    seconds: float
    fold: str


@dataclass(frozen=True)
class TrialEnds:
    """A trial has ended."""

    study: str
    number: int
