"""Helpers for tests of rungs: options of a study, a claim, and reports without training."""

from typing import Any

from venation.leases.claim import claim
from venation.leases.lease import Lease
from venation.leases.promotion import promote_or_pause
from venation.search.asha import Paused
from venation.search.handle import StudyHandle

RUNGS: dict[str, Any] = {"pruner": "asha", "first_rung": 1, "sampler": "random"}


def claim_next(handle: StudyHandle) -> Lease:
    """Claim the next trial."""
    lease = claim(handle, max_losses=3)
    assert lease is not None
    return lease


def report_curve(lease: Lease, curve: list[float]) -> bool:
    """Report the rest of ``curve`` by epoch; return False if the trial is paused at a rung."""
    for epoch in range(len(lease.handle.storage.get_trial(lease.trial_id).intermediate_values), len(curve)):
        lease.trial.report(curve[epoch], epoch)
        try:
            promote_or_pause(lease, epoch + 1)
        except Paused:
            return False
    return True
