"""All kinds of faults, those that this machine allows, and those that a run asks for."""

from collections.abc import Mapping, Sequence

from ..errors import UsageError, UserError
from . import service_faults, worker_faults
from .fault import Fault
from .sandbox import Sandbox

FAULTS: Mapping[str, Fault] = {
    "kill": worker_faults.kill,
    "pause": worker_faults.pause,
    "drain": worker_faults.drain,
    "disconnect": worker_faults.disconnect,
    "restart_server": service_faults.restart_server,
    "crash_server": service_faults.crash_server,
    "failover": service_faults.failover,
    "cut": worker_faults.cut,
    "fill_store": service_faults.fill_store,
    "lose_store": service_faults.lose_store,
    "slow_store": service_faults.slow_store,
    "jump_clock": worker_faults.jump_clock,
    "old_worker": worker_faults.old_worker,
    "delete_study": service_faults.delete_study,
}
NEEDS = {
    "fill_store": "root, to mount a file system",
    "lose_store": "root, to mount a file system",
    "jump_clock": "libfaketime (Debian's package of this name)",
    "old_worker": "an older version, with --older",
}


def check_kinds(kinds: Sequence[str]) -> None:
    """Raise UsageError for a kind of fault that does not exist."""
    for kind in kinds:
        if kind not in FAULTS:
            raise UsageError(f"there is no fault `{kind}`; the faults are {', '.join(FAULTS)}.")


def possible_faults(sandbox: Sandbox) -> list[str]:
    """Return the faults that this machine allows."""
    allowed = {
        "fill_store": sandbox.can_mount,
        "lose_store": sandbox.can_mount,
        "jump_clock": sandbox.has_clock,
        "old_worker": sandbox.older is not None,
    }
    return [kind for kind in FAULTS if allowed.get(kind, True)]


def chosen_faults(sandbox: Sandbox, kinds: Sequence[str]) -> list[str]:
    """Return ``kinds``, or all that are possible. Raises UserError for one that is not possible."""
    possible = possible_faults(sandbox)
    for kind in kinds:
        if kind not in possible:
            raise UserError(f"fault `{kind}` is not possible here: it needs {NEEDS[kind]}; leave it out.")
    return [kind for kind in possible if not kinds or kind in kinds]


def least_frequent(kinds: list[str], counts: Mapping[str, int]) -> list[str]:
    """Return the kinds with the lowest count, so that a short run has some of each."""
    fewest = min(counts.get(kind, 0) for kind in kinds)
    return [kind for kind in kinds if counts.get(kind, 0) == fewest]
