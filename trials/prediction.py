"""The prediction for one image, and the images that paths stand for."""

import difflib
import glob
import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..data.left_out import describe_left_out
from ..data.mask_files import masks_among
from ..data.pixels import Pixels
from ..data.scan_folders import IMAGE_EXTENSIONS, MASKS
from ..errors import DataError, UsageError
from ..wording import counted

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prediction:
    """The prediction for one image; its maps have the upright image's height and width.

    ``path`` is None for an image that was not read from a file. ``top`` lists the most probable
    classes, best first, and ``probabilities`` all classes, in the order of the bundle. ``mask`` is
    0 or 255; with several ``mask_classes`` it is the number of the class, from 1, and 0 for the
    background. ``heat`` is 0..1. ``kept`` has a map for each level that the plug-in module selects
    from, shallow to deep: 255 at the position selected first, falling with the rank, 0 where none
    was selected. ``pixels`` is the image, if it was asked for.
    """

    path: Path | None
    label: str
    probability: float
    top: list[tuple[str, float]]
    mask: NDArray[np.uint8] | None
    heat: NDArray[np.float32] | None
    kept: tuple[NDArray[np.uint8], ...] | None = None
    mask_classes: tuple[str, ...] = ()
    pixels: Pixels | None = field(default=None, repr=False)
    probabilities: dict[str, float] = field(default_factory=dict, repr=False)


def heat_class(heat: bool | str, classes: Sequence[str]) -> int | None:
    """Return the number of the class that a heat map is asked for; None for that of the label.

    ``heat`` is True or a class name. Raises UsageError with the nearest names for another one.
    """
    if isinstance(heat, bool):
        return None
    if heat not in classes:
        near = difflib.get_close_matches(heat, classes, n=3) or classes[:5]
        raise UsageError(f"no class is called `{heat}`: a heat map can be of {', '.join(near)}, ...")
    return list(classes).index(heat)


def expand_paths(paths: Sequence[Path], *, exclude: Sequence[Path] = ()) -> list[Path]:
    """Return the image files of ``paths``: files as given, folders searched recursively.

    A path with ``*``, ``?`` or ``[`` that does not exist is a pattern: it stands for the image
    files that it matches, and ``**`` for folders of any depth. Images of a folder or a pattern are
    sorted; hidden files and folders are skipped. So are folders in ``exclude`` below a given
    folder; one that is itself given is read. The masks of a data set, see ``masks_among``, are left
    out of a folder or a pattern that does not name them, with a remark. Raises DataError for a path
    that does not exist, a folder without images, or a pattern that matches none.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_file():
            found.append(path)
        elif path.is_dir():
            found += _images_below(path, exclude)
        elif glob.has_magic(str(path)):
            found += _matching(path, exclude)
        else:
            raise DataError(f"{path} does not exist: give images, folders of images, or a pattern such as '*.jpg'")
    return found


def _matching(pattern: Path, exclude: Sequence[Path]) -> list[Path]:
    parts = list(itertools.takewhile(lambda part: not glob.has_magic(part), pattern.parts))
    files = [path for each in sorted(glob.glob(str(pattern), recursive=True)) if (path := Path(each)).is_file()]
    files = _outside(files, Path(*parts), exclude)
    if MASKS not in pattern.parts:
        files = _without_masks(files, Path(*parts))
    images = [path for path in files if path.suffix.lower() in IMAGE_EXTENSIONS]
    if not images:
        raise DataError(f"no image matches `{pattern}`: give another pattern, images or folders of images")
    return images


def _outside(files: Sequence[Path], folder: Path, exclude: Sequence[Path]) -> list[Path]:
    """Return the ``files`` of a folder that are in none of the excluded folders below it."""
    root = folder.resolve()
    # A folder that contains ``folder`` is not excluded: the caller asked for ``folder``.
    excluded = [place for other in exclude if root in (place := other.resolve()).parents]
    return [
        path for path in files if not any((root / path.relative_to(folder)).is_relative_to(place) for place in excluded)
    ]


def _without_masks(files: Sequence[Path], folder: Path) -> list[Path]:
    masks = masks_among(files, folder)
    if masks:
        noun = counted(len(masks), "mask")
        log.warning("%s: left out %s of the data set; name the folder of masks to have them predicted", folder, noun)
    return [path for path in files if path not in masks]


def _images_below(folder: Path, exclude: Sequence[Path]) -> list[Path]:
    visible = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    files = _without_masks(_outside(visible, folder, exclude), folder)
    images = [path for path in files if path.suffix.lower() in IMAGE_EXTENSIONS]
    if images and (remark := describe_left_out(files)):
        log.warning("%s: %s", folder, remark)
    if not images:
        kinds = ", ".join(sorted(IMAGE_EXTENSIONS))
        raise DataError(f"{folder} has no images ({kinds}): give a folder with images")
    return images
