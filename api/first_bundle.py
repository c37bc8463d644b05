"""Try a data set from Python: a linear probe, its scores and a first bundle."""

import os
from pathlib import Path

from ..bundles.first_bundle import Progress
from ..bundles.first_bundle import try_data as try_images
from ..bundles.try_report import TryReport
from ..trials.device import choose_device
from ..trials.probe_config import DEFAULT_ENCODER


def try_data(
    data: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    encoder: str = DEFAULT_ENCODER,
    size: int = 224,
    folds: int = 5,
    seed: int = 0,
    device: str = "auto",
    progress: Progress = lambda stage, done, total: None,
) -> TryReport:
    """Fit a linear probe on a data set, cross-validate it and write it as a bundle; no database.

    ``data`` is a folder or CSV file of labelled images. ``out`` is the bundle's path, by default
    the name of ``data`` with ``.bundle`` in the working folder. The probe is logistic regression on
    the pooled features of a frozen, pretrained timm ``encoder`` at ``size`` pixels. ``progress`` is
    called with a stage, the number of its steps that are done, and their number.

    Raises DataError for data that cannot be read or have too few images, UserError if ``out``
    exists or there are no weights, UsageError for an unknown encoder.
    """
    source = Path(data)
    target = default_bundle(source) if out is None else Path(out)
    return try_images(
        source,
        target,
        encoder=encoder,
        size=size,
        folds=folds,
        seed=seed,
        device=choose_device(device),
        progress=progress,
    )


def default_bundle(data: Path) -> Path:
    """Return the default path of the first bundle of ``data``, in the working folder."""
    whole = data.resolve()
    return Path(f"{whole.stem if whole.is_file() else whole.name}.bundle")
