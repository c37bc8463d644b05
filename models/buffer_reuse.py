"""Reuse the memory of large tensors that every training step allocates again.

The C library returns a block of more than 32 MiB to the system as soon as it is freed. The system
hands out the next block page by page and zeroes each page. Measured on a CPU, a gradient of 440 MB
takes 193 ms to write into new pages and 53 ms into reused ones. On a GPU, torch's allocator reuses
the memory of all tensors.
"""

import math
import weakref
from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

# glibc's largest threshold for blocks that it maps and unmaps (mallopt(3), M_MMAP_THRESHOLD).
_MIN_BYTES = 2**25
# Per size: a gradient, and the gradient that is added to it if a step has several backward passes.
_MAX_BLOCKS_PER_SIZE = 2
# A gradient and, in half precision, the copy of the weights that it is computed with.
_MAX_SIZES = 2
# The attribute of a tensor that refers to its pool.
_NAME = "_venation_buffer_pool"

_Block = npt.NDArray[np.uint8]


class BufferPool:
    """Free memory blocks for tensors of a few sizes.

    A block returns to the pool when nothing refers to its tensor any more, including views and
    gradients. So memory in use is never overwritten.
    """

    def __init__(self) -> None:
        self._free: dict[int, list[_Block]] = {}

    def take(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Return an uninitialised CPU tensor; a small one comes from ``torch.empty``."""
        size = math.prod(shape) * dtype.itemsize
        if size < _MIN_BYTES:
            return torch.empty(tuple(shape), dtype=dtype)
        free = self._free.get(size)
        block = free.pop() if free else torch.empty(size, dtype=torch.uint8).numpy()
        # The tensor's storage is the only owner of this view, and frees it with its last tensor.
        lent = block.view()
        weakref.finalize(lent, self._give_back, block).atexit = False
        return torch.from_numpy(lent).view(dtype).view(tuple(shape))

    def _give_back(self, block: _Block) -> None:
        free = self._free.pop(block.size, [])
        free.append(block)
        del free[:-_MAX_BLOCKS_PER_SIZE]
        self._free[block.size] = free
        for size in list(self._free)[:-_MAX_SIZES]:
            self._free.pop(size, None)

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        return type(self), ()


def pool_for(weight: Tensor) -> BufferPool:
    """Return the buffer pool of ``weight``, for tensors of its size such as its gradient.

    The pool lives as long as the weight. So weights that are cut from others for one step keep no
    memory, and weights that many modules share keep it once.
    """
    kept: BufferPool | None = getattr(weight, _NAME, None)
    if kept is None:
        kept = BufferPool()
        setattr(weight, _NAME, kept)
    return kept
