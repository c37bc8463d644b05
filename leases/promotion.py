"""Promote a running trial past its rung, or pause it there."""

from ..search.asha import Paused, promotable
from ..storage.attributes import PAUSED
from ..storage.database import study_lock
from . import rows
from .asha_queue import pass_rung
from .asha_scores import read_standings
from .lease import Lease


def promote_or_pause(lease: Lease, epochs: int) -> None:
    """Let a trial continue past the rung after ``epochs`` epochs if it is good enough; raise Paused if it is not.

    Does nothing where no rung is. A paused trial is WAITING, and its checkpoint stays for the worker that claims it
    when it is promoted. Call this with a checkpoint of these epochs stored, and not after the last epoch. Raises
    LeaseLost, with nothing written.
    """
    handle = lease.handle
    if epochs not in handle.spec.rungs:
        return
    rung = handle.spec.rungs.index(epochs)
    with study_lock(handle.storage, handle.id) as connection:
        lease.check(connection)
        standings = read_standings(handle, connection)
        own = standings[lease.trial_id]
        # Trained anew up to here: its checkpoint was lost after it had been promoted.
        if own.passed > rung:
            return
        if own.number in promotable(standings.values(), handle.spec.eta):
            pass_rung(connection, lease.trial_id, own)
            return
        score = own.scores[rung]
        value = (score[0] if isinstance(score, tuple) else score) * handle.spec.signs[0]
        record = {"rung": rung + 1, "epochs": epochs, "value": value}
        rows.set_attr(connection, lease.trial_id, PAUSED, record)
        lease.hand_back(connection)
    raise Paused(f"paused at rung {rung + 1} of {len(handle.spec.rungs)}, after {epochs} epochs, with {value:.4f}")
