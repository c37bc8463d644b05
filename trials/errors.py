"""Failures of a trial that are not bugs."""

from ..errors import UserError

# Messages of allocators without their own exception class: the CPU's, and those of cuBLAS and
# cuDNN.
_ALLOCATION_FAILURES = ("can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")


class TrialFailed(RuntimeError):
    """A trial that cannot succeed with its config: it ends as FAIL and the study continues.

    ``cause`` says why: ``nan`` or ``oom``.
    """

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class CheckpointMismatch(UserError):
    """A checkpoint that cannot resume this fit: damaged, or of another config or version."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether torch, on any device, Python or NumPy failed to allocate memory."""
    # Commands that only read import this file, and torch takes seconds to import.
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _ALLOCATION_FAILURES)
