"""How a trial fails without being a bug."""


class TrialFailed(RuntimeError):
    """A trial that cannot succeed as configured: told FAIL with its ``cause``, and the study goes on."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause
