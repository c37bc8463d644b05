"""Failures of a trial that are not bugs."""

import torch

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


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether torch, on any device, Python or NumPy failed to allocate memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _ALLOCATION_FAILURES)
