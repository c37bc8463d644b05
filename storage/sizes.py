"""Parse and format sizes in bytes, such as 500MB, 20 GB and 1.5GiB."""

import math
import re

from ..errors import UsageError

_UNITS = ("", "k", "m", "g", "t", "p")
_SIZE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([kmgtp]?)(i?)b?", re.IGNORECASE)


def parse_size(given: str) -> int:
    """Return the number of bytes of ``500MB``, ``20 GB`` or ``1.5GiB``.

    The prefix k is 1000, and Ki is 1024. Raises UsageError for any other form.
    """
    found = _SIZE.fullmatch(given.strip())
    if found is None or (found[3] and not found[2]):
        raise UsageError(f"size {given[:40]!r} is not understood; write 500MB, 20GB or 1.5GiB.")
    base = 1024 if found[3] else 1000
    return math.floor(float(found[1]) * base ** _UNITS.index(found[2].lower()))


def format_size(number: int) -> str:
    """Format a number of bytes with three digits: ``1.53 GB``."""
    value, units = float(number), iter(("B", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while value >= 999.5 and unit != "TB":
        value, unit = value / 1000, next(units)
    return f"{value:.3g} {unit}"
