"""A worker's own clock, by the library libfaketime."""

from pathlib import Path

# Debian and Ubuntu: package libfaketime.
_LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


def faketime_library() -> Path | None:
    """Return the library that gives a process another time, or None if it is not installed."""
    return _LIBRARIES[0] if _LIBRARIES else None


def faketime_environment(library: Path, clock: Path) -> dict[str, str]:
    """Return the environment of a process whose clock the file ``clock`` shifts."""
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def set_clock_offset(clock: Path, seconds: int) -> None:
    """Shift the clock of the file ``clock`` by ``seconds`` against the machine's."""
    clock.write_text(f"{seconds:+d}")
