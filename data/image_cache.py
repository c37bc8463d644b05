"""Keep decoded images in memory up to a number of bytes."""

import math
import os
import threading

from ..errors import UsageError
from .transforms import FittedPair

_GIB = 1024**3
_CACHE_GIB = "2"


class ImageCache:
    """Decoded images by index, until ``capacity`` bytes are full; threads may share it.

    Entries are never evicted: every epoch reads every image, so evicting the oldest would never
    produce a hit.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.used = 0
        self._pairs: dict[int, FittedPair] = {}
        self._lock = threading.Lock()

    def get(self, index: int) -> FittedPair | None:
        """Return an image if it is kept."""
        return self._pairs.get(index)

    def add(self, index: int, pair: FittedPair) -> None:
        """Keep an image if there is room for it."""
        size = pair.image_CHW.numel() + pair.mask_1HW.numel()
        with self._lock:
            if index not in self._pairs and self.used + size <= self.capacity:
                self._pairs[index] = pair
                self.used += size


def default_cache_bytes() -> int:
    """Return the size of a dataset's cache of decoded images in bytes.

    The environment variable VENATION_CACHE_GIB sets it; the default is 2 GiB. Raises UsageError if
    the variable is not a number of GiB.
    """
    given = os.environ.get("VENATION_CACHE_GIB") or _CACHE_GIB
    try:
        size = float(given)
    except ValueError:
        size = math.nan
    if not 0 <= size < math.inf:
        raise UsageError(f"VENATION_CACHE_GIB={given} is not a number of GiB: give one from 0 on, such as 0.5")
    return int(size * _GIB)
