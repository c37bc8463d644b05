"""Decode the images of the next batch in threads while the current batch is in use."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

# More threads only fill the memory with images at full size.
_MAX_THREADS = 8


def decode_ahead(
    batches: Sequence[Sequence[int]], *, cached: Callable[[int], T | None], decode: Callable[[int], T]
) -> Iterator[list[T]]:
    """Yield the decoded images of each batch of indices, while threads decode the next.

    Reuse the images that ``cached`` returns; decode the others. ``decode`` runs in threads, so it
    must not draw random numbers: their order would vary. An exception that it raises surfaces when
    its batch is due. Only one batch is decoded ahead, which bounds the memory.
    """
    pool = ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1))

    def begin(indices: Sequence[int]) -> list[T | Future[T]]:
        return [cached(index) or pool.submit(decode, index) for index in indices]

    try:
        following = begin(batches[0]) if batches else []
        for number in range(len(batches)):
            current, following = following, begin(batches[number + 1]) if number + 1 < len(batches) else []
            yield [image.result() if isinstance(image, Future) else image for image in current]
    finally:
        pool.shutdown(cancel_futures=True)
