"""The events of a worker's trials, for the listener of its progress (``data.progress``)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# The ``extra`` of log lines whose content a live display shows in another form.
SHOWN_LIVE = {"shown_live": True}


@dataclass(frozen=True)
class TrialBegins:
    """A trial begins, or goes on; ``params`` are its own, ``epochs`` 0 for a booster.

    ``key`` is no other trial's of any database, also after the study was deleted and made again. It
    has letters, digits and dashes only, at most 64.
    """

    study: str
    number: int
    params: Mapping[str, Any]
    epochs: int
    key: str = ""


@dataclass(frozen=True)
class EpochEnds:
    """An epoch has ended, the ``epoch``-th from 1; ``fold`` names the fold, or is empty.

    ``metrics`` are all that were measured on the validation images.
    """

    epoch: int
    loss: float
    objective: str
    value: float
    seconds: float
    fold: str
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TrialEnds:
    """A trial has ended, or waits to be tried again; ``values`` are those of its objectives."""

    study: str
    number: int
    state: str = ""
    values: tuple[float, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
