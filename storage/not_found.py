"""Optuna's error for a missing artifact, imported at its first use."""


def not_found() -> type[Exception]:
    """Return Optuna's ArtifactNotFound.

    Its package imports boto3 and google.cloud where they are installed, which takes longer than
    all else that `study list` does.
    """
    from optuna.artifacts.exceptions import ArtifactNotFound

    return ArtifactNotFound
