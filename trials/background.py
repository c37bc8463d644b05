"""Say in words when a network relies on the background."""

from collections.abc import Mapping
from typing import Protocol


class Scored(Protocol):
    """A score with its 95 % interval."""

    @property
    def value(self) -> float:
        """The score."""

    @property
    def low(self) -> float:
        """The lower end of the interval."""

    @property
    def high(self) -> float:
        """The upper end of the interval."""


def relies_on_background(whole: Scored, blanked: Scored) -> bool:
    """Return whether blanking the background lowers the accuracy; no claim of close intervals.

    Both are of the same images, so that the rule, which takes them as independent, is cautious.
    """
    return blanked.high < whole.low


def describe_background(scores: Mapping[str, Scored]) -> str | None:
    """Return a sentence if the ``accuracy`` falls to ``accuracy_blanked``; None otherwise."""
    whole, blanked = scores.get("accuracy"), scores.get("accuracy_blanked")
    if whole is None or blanked is None or not relies_on_background(whole, blanked):
        return None
    return (
        f"with the background blanked by the masks the accuracy falls from {whole.value:.3f} to {blanked.value:.3f}:"
        " the network relies on the background, and may fail where it is another; train with data.blank=0.5"
    )
