"""The report of a chaos run, and the checks that its faults had an effect."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

# Fewer long silences may all miss: the trial ends just before, or a server restart extends the
# grace.
ENOUGH_SILENCES = 4


@dataclass
class Report:
    """The faults of a run and their effects.

    ``long_silences`` counts the faults that silenced a busy worker for longer than the grace,
    ``lost_leases`` the attempts that ended because the lease expired, and ``lost_by_living`` those
    of them whose worker was not killed. ``older`` counts how workers of an older version ended.
    """

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    left_out: list[str] = field(default_factory=list)
    studies: int = 0
    trials: int = 0
    starts: int = 0
    long_silences: int = 0
    lost_leases: int = 0
    lost_by_living: int = 0
    older: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def check_lost_leases(self) -> None:
        """Add a violation if no living worker lost a lease in a run that had to provoke it."""
        if self.long_silences >= ENOUGH_SILENCES and self.lost_by_living == 0:
            self.violations.append(
                f"{self.long_silences} faults outlasted the grace of a busy worker, but no living worker lost a lease"
            )

    def check_kinds(self, kinds: Sequence[str]) -> None:
        """Add a violation for each of ``kinds`` that the run did not inject."""
        self.violations += [
            f"no fault {kind} in this run: give it more --minutes, a lower --every, or fewer kinds with --fault"
            for kind in kinds
            if self.faults[kind] == 0
        ]

    def row(self) -> dict[str, Any]:
        """Return the report as one mapping."""
        return {
            "seed": self.seed,
            "faults": sum(self.faults.values()),
            **{f"fault {kind}": self.faults[kind] for kind in sorted(self.faults)},
            "not possible here": self.left_out,
            "silences beyond the grace": self.long_silences,
            "lost leases": self.lost_leases,
            "lost by living workers": self.lost_by_living,
            "workers of an older version": dict(self.older),
            "studies": self.studies,
            "trials": self.trials,
            "workers started": self.starts,
            "violations": self.violations,
        }
