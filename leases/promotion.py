"""Promote a running trial past its rung, or pause it there."""

from ..search.asha import Paused, promotable
from ..storage.attributes import PAUSED
from ..storage.database import study_lock
from .asha_queue import pass_rung
from .asha_scores import read_standings
from .attribute_rows import set_attr
from .lease import Lease


def promote_or_pause(lease: Lease, epochs: int) -> None:
    """Promote a trial past the rung after ``epochs`` epochs; raise Paused if its score is too low.

    Does nothing if these epochs are no rung. A paused trial is WAITING; its checkpoint stays for
    the worker that claims it after a promotion. Store the checkpoint of these epochs before the
    call, and do not call it after the last epoch. Raises LeaseLost, with nothing written.
    """
    handle = lease.handle
    if epochs not in handle.spec.rungs:
        return
    rung = handle.spec.rungs.index(epochs)
    with study_lock(handle.storage, handle.id) as connection:
        lease.check(connection)
        standings = read_standings(handle, connection)
        own = standings[lease.trial_id]
        # It was promoted before; its checkpoint was lost since, and it trained from the first
        # epoch.
        if own.passed > rung:
            return
        if own.number in promotable(standings.values(), handle.spec.eta):
            pass_rung(connection, lease.trial_id, own)
            return
        score = own.scores[rung]
        value = (score[0] if isinstance(score, tuple) else score) * handle.spec.signs[0]
        record = {"rung": rung + 1, "epochs": epochs, "value": value}
        set_attr(connection, lease.trial_id, PAUSED, record)
        lease.hand_back(connection)
    raise Paused(f"paused at rung {rung + 1} of {len(handle.spec.rungs)}, after {epochs} epochs, with {value:.4f}")
