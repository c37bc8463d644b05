"""Predictions on the disk as annotations: the rows of a table with their images and masks."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..data.annotated import upright_size
from ..errors import UsageError, UserError
from ..escaping import table_cell
from ..trials.files import atomic_write
from .output_files import unwritable
from .prediction_table import COLUMNS, PREDICTIONS, read_table

# The one category of masks without mask classes, where masks have labels of their own.
STRUCTURE = "structure"


@dataclass(frozen=True)
class Annotation:
    """The prediction for one image; ``size`` is (width, height) of the upright image.

    ``name`` is the image's path below the folder that holds all images, with ``/``.
    """

    name: str
    label: str
    answer: str
    probability: float
    mask_file: Path | None
    size: tuple[int, int]

    def masks(self, mask_classes: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
        """Return H x W masks by class, or of ``STRUCTURE``; empty classes are left out."""
        if self.mask_file is None:
            return {}
        with Image.open(self.mask_file) as picture:
            mask_HW = np.asarray(picture)
        if not mask_classes:
            return {STRUCTURE: mask_HW > 0}
        each = ((name, mask_HW == number) for number, name in enumerate(mask_classes, 1))
        return {name: found_HW for name, found_HW in each if found_HW.any()}


class Annotations:
    """The predictions of the folder ``out`` for ``images``, in the order of the table.

    They are read again for each pass, so that no number of images fills the memory.
    """

    def __init__(self, out: Path, images: Sequence[Path], classes: Sequence[str], mask_classes: Sequence[str]) -> None:
        self.classes, self.mask_classes = tuple(classes), tuple(mask_classes)
        self.folder = Path(os.path.commonpath([os.path.abspath(path.parent) for path in images]))
        self._out = out
        # A table's cell may be an escaped form of the path.
        self._images = {table_cell(str(path)): path for path in images}
        self._names = {table_cell(name): name for name in classes}

    def __iter__(self) -> Iterator[Annotation]:
        """Yield the annotations. Raises DataError or UserError for a file that cannot be read."""
        wanted = ("path", "label", "answer", "probability", "mask")
        for path, label, given, probability, mask in read_table(self._out / PREDICTIONS, COLUMNS, wanted) or []:
            image = self._images.get(path)
            if image is None:
                continue
            file = self._out / mask if mask else None
            name = Path(os.path.relpath(os.path.abspath(image), self.folder)).as_posix()
            label, given = (self._names.get(cell, cell) for cell in (label, given))
            yield Annotation(name, label, given, float(probability), file, _size(image, file))


def _size(image: Path, mask: Path | None) -> tuple[int, int]:
    if mask is None:
        return upright_size(image)
    try:
        with Image.open(mask) as picture:
            return picture.size
    except OSError as error:
        raise UserError(f"cannot read the mask `{mask}` ({error}); predict without --resume.") from None


def check_target(target: Path, option: str) -> None:
    """Raise UsageError if a file of annotations cannot have this name."""
    if target.suffix.lower() != ".json" or target.is_dir():
        raise UsageError(f"{option} writes a JSON file; `{target}` is none, so give a name that ends in .json.")


@contextmanager
def written_text(target: Path) -> Iterator[TextIO]:
    """Yield a text file that replaces ``target`` when the block succeeds. Raises UserError."""
    try:
        with atomic_write(target, fsync=False) as aside, aside.open("w", encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise unwritable(target, error) from None


def write_list(file: TextIO, items: Iterable[Any]) -> None:
    """Write a JSON list of one line for each item, without keeping the items."""
    before = "[\n"
    for item in items:
        file.write(before + json.dumps(item))
        before = ",\n"
    file.write("[]" if before == "[\n" else "\n]")
