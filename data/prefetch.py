"""Pictures that are decoded while the batch before them is learnt from."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

# More threads than this only fill memory with pictures at their full size.
_MOST_THREADS = 8


def decoded_ahead(
    batches: Sequence[Sequence[int]], *, kept: Callable[[int], T | None], decode: Callable[[int], T]
) -> Iterator[list[T]]:
    """Every batch's pictures in order, by the indices of ``batches``; those of the next are on their way meanwhile.

    What ``kept`` has is not decoded; the rest is, by threads, so ``decode`` must draw no random numbers: the image
    libraries let other threads run. What it raises is raised when its batch's turn comes. One batch is decoded ahead,
    and no more than that is held in memory.
    """
    pool = ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1))

    def begin(indices: Sequence[int]) -> list[T | Future[T]]:
        return [kept(index) or pool.submit(decode, index) for index in indices]

    try:
        coming = begin(batches[0]) if batches else []
        for number in range(len(batches)):
            here, coming = coming, begin(batches[number + 1]) if number + 1 < len(batches) else []
            yield [picture.result() if isinstance(picture, Future) else picture for picture in here]
    finally:
        pool.shutdown(cancel_futures=True)
