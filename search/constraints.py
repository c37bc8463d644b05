"""Constraints on the cost of a network. A network that breaks one is never trained."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from ..errors import UsageError
from ..trials.kinds import Kind

# Parameters in all, multiply-accumulates of one image, milliseconds of one image on the worker's
# device.
CostName = Literal["parameters", "macs", "latency"]
COSTS: tuple[str, ...] = get_args(CostName)

_FORM = re.compile(r"\s*([^<>=\s]+)\s*(<=|>=)\s*(\S+)\s*")
_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def known_costs(kind: Kind) -> tuple[str, ...]:
    """Return the costs that a study of ``kind`` can minimise and bound."""
    return COSTS if kind.facts.has_epochs else ()


class Constraint(BaseModel):
    """A bound on a cost, written ``parameters<=5e6``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: CostName
    relation: Literal["<=", ">="]
    bound: float = Field(gt=0, allow_inf_nan=False)

    def __str__(self) -> str:
        return f"{self.name}{self.relation}{self.bound:.12g}"

    def excess(self, value: float) -> float:
        """Return by which share of the bound ``value`` is beyond it; 0 or less if it is met.

        Shares, because the sampler adds the excesses up: millions of parameters would drown
        milliseconds.
        """
        share = value / self.bound - 1
        return share if self.relation == "<=" else -share

    def complaint(self, value: float) -> str:
        """Return how ``value`` breaks the constraint: ``parameters 6.2M > 5M``."""
        sign = ">" if self.relation == "<=" else "<"
        return f"{self.name} {amount(self.name, value)} {sign} {amount(self.name, self.bound)}"


def read_constraints(texts: Iterable[str]) -> tuple[Constraint, ...]:
    """Parse constraints as users write them.

    Raises UsageError for one that cannot be parsed, and for two that no network can meet.
    """
    constraints = tuple(dict.fromkeys(map(_read, texts)))
    for low in constraints:
        for high in constraints:
            if (low.name, low.relation, high.relation) == (high.name, ">=", "<=") and low.bound > high.bound:
                raise UsageError(f"constraints `{high}` and `{low}` contradict each other: no network meets both.")
    return constraints


def complaints(constraints: Sequence[Constraint], costs: Mapping[str, float]) -> list[str]:
    """Return how ``costs`` breaks ``constraints``; costs that are not known are ignored."""
    known = [constraint for constraint in constraints if constraint.name in costs]
    return [c.complaint(costs[c.name]) for c in known if c.excess(costs[c.name]) > 0]


def amount(name: str, value: float) -> str:
    """Format a cost for people: ``6.2M``, ``12.5 ms``."""
    if name == "latency":
        return f"{value:.4g} ms"
    for unit, letter in _UNITS:
        if value >= unit:
            return f"{value / unit:.4g}{letter}"
    return f"{value:.4g}"


def _read(text: str) -> Constraint:
    match = _FORM.fullmatch(text)
    if match is None:
        raise UsageError(
            f"constraint `{text}` is not understood; write NAME<=NUMBER or NAME>=NUMBER, say `parameters<=5e6`."
        )
    name, relation, number = match.groups()
    if name not in COSTS:
        raise UsageError(
            f"constraint `{text}` is on `{name}`, which is not known before training; choose from: {', '.join(COSTS)}."
        )
    try:
        bound = float(number)
    except ValueError:
        bound = float("nan")
    if not 0 < bound < float("inf"):
        raise UsageError(f"constraint `{text}` needs a positive number after `{relation}`, not `{number}`.")
    return Constraint.model_validate({"name": name, "relation": relation, "bound": bound})
