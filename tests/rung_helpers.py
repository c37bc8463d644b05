"""What the tests of the rungs share: a study with rungs, a claim, and a climb without training."""

from typing import Any

from venation.leases.lease import Lease, StudyHandle, claim
from venation.leases.promotion import promote_or_pause
from venation.search.asha import Paused

RUNGS: dict[str, Any] = {"pruner": "rungs", "first_rung": 1, "sampler": "random"}


def take(handle: StudyHandle) -> Lease:
    """The next trial."""
    lease = claim(handle, max_losses=3)
    assert lease is not None
    return lease


def climb(lease: Lease, curve: list[float]) -> bool:
    """Report ``curve`` to its end, rung by rung; False if the trial was paused on the way."""
    for epoch in range(len(lease.handle.storage.get_trial(lease.trial_id).intermediate_values), len(curve)):
        lease.trial.report(curve[epoch], epoch)
        try:
            promote_or_pause(lease, epoch + 1)
        except Paused:
            return False
    return True
