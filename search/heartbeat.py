"""The heartbeat of a running trial, and the silence after which its worker loses the lease."""

from ..errors import UsageError

DEFAULT_HEARTBEAT_S = 10.0
# 12 x 10 s: a network that drops every packet for a minute is noticed half a minute later, and
# recovers within the grace.
MISSED_HEARTBEATS = 12

# Below, a busy machine misses heartbeats by itself; above, a lost trial waits for half a day.
SHORTEST_HEARTBEAT_S, LONGEST_HEARTBEAT_S = 0.05, 3600.0


def grace_seconds(heartbeat: float) -> float:
    """Return the silence in seconds after which a trial with this heartbeat goes to another worker.

    Studies of earlier versions may have an unbounded heartbeat, which the server cannot count as an
    interval: it is taken as the longest.
    """
    return MISSED_HEARTBEATS * min(heartbeat, LONGEST_HEARTBEAT_S)


def check_heartbeat(heartbeat: float) -> None:
    """Raise UsageError for a new study's heartbeat that is out of bounds."""
    if not SHORTEST_HEARTBEAT_S <= heartbeat <= LONGEST_HEARTBEAT_S:
        raise UsageError(
            f"heartbeat {heartbeat:g} is out of bounds; give {SHORTEST_HEARTBEAT_S:g} to"
            f" {LONGEST_HEARTBEAT_S:g} seconds."
        )
