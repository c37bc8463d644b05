"""How a trial fails without being a bug."""

import torch

# What allocators without an exception class of their own say: the CPU's, and those of cuBLAS and cuDNN.
_ALLOCATORS_SAY = ("can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")


class TrialFailed(RuntimeError):
    """A trial that cannot succeed as configured: told FAIL with its ``cause``, and the study goes on."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocator of torch, on whichever device, or of Python or NumPy had no memory to give."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _ALLOCATORS_SAY)
