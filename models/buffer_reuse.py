"""Memory for the large tensors that every step makes anew, kept from one step to the next.

The C library gives a block of more than 32 MiB back to the system as soon as it is freed, and the system hands out the
next one page by page, each of them zeroed: measured on a CPU, a gradient of 440 MB is written into new pages in 193 ms
and into kept ones in 53 ms. On a GPU torch's allocator does the same for all tensors.
"""

import math
import weakref
from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

# glibc's largest threshold for blocks that come from the system and go back there (mallopt(3), M_MMAP_THRESHOLD).
_LEAST_BYTES = 2**25
# Of a size: a gradient, and the one that is added to it where a step has several backward passes.
_MOST_BLOCKS = 2
# A gradient and, in half precision, the weights that it is computed with.
_MOST_SIZES = 2
# The attribute of a tensor under which its memory is found.
_NAME = "_venation_kept_memory"

_Block = npt.NDArray[np.uint8]


class BufferPool:
    """The last blocks that some tensors lived in, for their successors in the next step.

    A block is free again when nothing refers to its tensor any more, views and gradients included, so nothing that
    somebody still holds is ever written over.
    """

    def __init__(self) -> None:
        self._free: dict[int, list[_Block]] = {}

    def take(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """A tensor on the CPU with whatever is in memory; a small one is ``torch.empty``'s."""
        size = math.prod(shape) * dtype.itemsize
        if size < _LEAST_BYTES:
            return torch.empty(tuple(shape), dtype=dtype)
        free = self._free.get(size)
        block = free.pop() if free else torch.empty(size, dtype=torch.uint8).numpy()
        # The tensor's storage holds this view alone, and lets go of it when the last tensor of the storage is gone.
        lent = block.view()
        weakref.finalize(lent, self._give_back, block).atexit = False
        return torch.from_numpy(lent).view(dtype).view(tuple(shape))

    def _give_back(self, block: _Block) -> None:
        free = self._free.pop(block.size, [])
        free.append(block)
        del free[:-_MOST_BLOCKS]
        self._free[block.size] = free
        for size in list(self._free)[:-_MOST_SIZES]:
            self._free.pop(size, None)

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        return type(self), ()


def pool_for(weight: Tensor) -> BufferPool:
    """The memory for what is as large as ``weight``, its gradient above all; it goes when the weight goes.

    So weights that are cut from others for one step keep nothing, and weights that many modules share keep it once.
    """
    kept: BufferPool | None = getattr(weight, _NAME, None)
    if kept is None:
        kept = BufferPool()
        setattr(weight, _NAME, kept)
    return kept
