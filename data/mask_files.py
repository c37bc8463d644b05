"""Find the masks among the files of a folder, which are no photographs."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ..errors import DataError
from .scan import scan_data
from .scan_csv import CSV_NAME
from .scan_folders import IMAGE_EXTENSIONS, IMAGES, MASK_EXTENSIONS, MASKS


def masks_among(files: Sequence[Path], folder: Path) -> set[Path]:
    """Return those of ``files``, which are below ``folder``, that are masks of a data set.

    A data set may be the folder or below it. Its masks are the files that its samples have, and all
    pictures in its folder ``masks`` if that is beside ``images`` or has masks of samples. A folder
    ``masks`` that is itself ``folder``, or contains it, is no such folder.
    """
    below = {parent for file in files for parent in file.parents if folder in parent.parents}
    sets = {place.parent for place in below if place.name == MASKS}
    sets |= {file.parent for file in files if file.name == CSV_NAME}
    named: set[str] = set()
    whole: set[Path] = set()
    for place in sets:
        masks = _named_masks(place)
        named |= masks
        inside = f"{os.path.abspath(place / MASKS)}{os.sep}"
        if (place / IMAGES).is_dir() or any(mask.startswith(inside) for mask in masks):
            whole.add(place / MASKS)
    pictures = (file for file in files if file.suffix.lower() in IMAGE_EXTENSIONS | MASK_EXTENSIONS)
    return {file for file in pictures if os.path.abspath(file) in named or not whole.isdisjoint(file.parents)}


def _named_masks(place: Path) -> set[str]:
    with suppress(DataError):
        return {str(sample.mask) for sample in scan_data(place).samples if sample.mask is not None}
    return set()
