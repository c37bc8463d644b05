"""Read MGANet's data sets: ``train/``, ``test/``, ``l2_mask/`` and ``labels.pkl`` in a folder."""

from pathlib import Path
from typing import TypeAlias

from ..errors import DataError
from .import_rows import Imported, Row, first_few, require_file, require_folder, zero_padded
from .plain_pickle import read_plain_pickle
from .scan_folders import visible_images

LABELS = "labels.pkl"
MASKS = "l2_mask"

_Key: TypeAlias = int | str


def read_mganet(source: Path) -> Imported:
    """Read one data set in the MGANet layout.

    If the keys of ``labels.pkl`` are ints, they are image stems as numbers, and masks are named
    ``<stem>.png`` (SoyCultivarVein, HainanLeaf). If they are strings, they are file names, and
    masks have the same names (BtfPIS).

    Labels become class names of equal width: class 1 of 200 is ``001``. Images without a mask are
    kept. JPEG masks are read as soft, because JPEG blurs them. Raises DataError for a missing file
    or folder, labels that are not a dict of int keys or of str keys to int, images without a label,
    labels without an image, two images with one key, and a data set without any mask.
    """
    labels = _read_labels(require_file(source, LABELS, "mganet"))
    masks = require_folder(source, MASKS, "mganet")
    by_number = isinstance(next(iter(labels)), int)
    images: dict[_Key, tuple[Path, str]] = {}
    for split in ("train", "test"):
        for path in visible_images(require_folder(source, split, "mganet")):
            key = _number(path) if by_number else path.name
            if key in images:
                both = f"{images[key][1]}/{images[key][0].name} and {split}/{path.name}"
                raise DataError(f"{both} are both {key!r} in {LABELS}: keep or rename one")
            images[key] = path, split
    _require_same(labels, {key: f"{split}/{path.name}" for key, (path, split) in images.items()})
    names = zero_padded(set(labels.values()))
    rows = []
    for key, (path, split) in images.items():
        mask = masks / (f"{path.stem}.png" if by_number else path.name)
        found = mask if mask.is_file() else None
        soft = mask.suffix.lower() in (".jpg", ".jpeg")
        rows.append(Row(path, f"{split}/{path.name}", names[labels[key]], split, mask=found, soft=soft))
    if not any(row.mask for row in rows):
        raise DataError(
            f"no file in {masks} has the name of an image's mask: put the masks there, named like the images"
        )
    return Imported(rows)


def _number(path: Path) -> int:
    if not (path.stem.isascii() and path.stem.isdigit()):
        raise DataError(
            f"{path} is not named by a number, though the keys of {LABELS} are numbers: rename or remove it"
        )
    return int(path.stem)


def _read_labels(path: Path) -> dict[_Key, int]:
    """Read the labels. Raises DataError unless they are a dict of int or of str keys to ints."""
    labels = read_plain_pickle(path)
    if not isinstance(labels, dict) or not labels:
        found = "an empty dict" if isinstance(labels, dict) else f"a {type(labels).__name__}"
        raise DataError(f"{path} holds {found}: it must hold a dict of image number or file name to int")
    # Compare types, not isinstance: a bool is an int too, but not a valid key or label.
    kinds = {type(key) for key in labels}
    if len(kinds) > 1 or not kinds <= {int, str}:
        found = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise DataError(f"{path} has keys of {found}: they must all be int (image stems) or all str (file names)")
    wrong = [key for key, label in labels.items() if type(label) is not int or not 0 <= label < 10**6]
    if wrong:
        raise DataError(
            f"{path} has labels that are not class numbers, for {first_few(wrong)}: they must be ints from 1"
        )
    return labels


def _require_same(labels: dict[_Key, int], images: dict[_Key, str]) -> None:
    unlabelled = [name for key, name in images.items() if key not in labels]
    if unlabelled:
        raise DataError(f"{LABELS} has no label for {first_few(unlabelled)}: add it or remove the image")
    absent = [key for key in labels if key not in images]
    if absent:
        raise DataError(f"{LABELS} labels {first_few(absent)}, but train/ and test/ have no such image: restore it")
