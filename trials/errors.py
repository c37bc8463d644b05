"""Failures of a trial that are not bugs."""

from ..errors import UserError

# Messages of allocators without their own exception class: the CPU's, and those of cuBLAS and
# cuDNN.
_ALLOCATION_FAILURES = ("can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")


class TrialFailed(RuntimeError):
    """A trial that cannot succeed with its config: it ends as FAIL and the study continues.

    ``cause`` says why: ``nan``, ``oom``, or ``rank`` for a lost process, which is tried again.
    """

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class LessMemory(RuntimeError):
    """One of several processes is out of memory: all restart with ``images`` at once."""

    def __init__(self, images: int) -> None:
        super().__init__(f"out of memory: {images} images at once")
        self.images = images


class CheckpointMismatch(UserError):
    """A checkpoint that cannot resume this fit: damaged, or of another config or version."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether torch, on any device, Python or NumPy failed to allocate memory."""
    # Commands that only read import this file, and torch takes seconds to import.
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _ALLOCATION_FAILURES)
