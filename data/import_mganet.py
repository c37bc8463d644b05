"""The layout of MGANet's patchy sets: ``train/``, ``test/``, ``l2_mask/`` and ``labels.pkl`` in one folder."""

from pathlib import Path
from typing import TypeAlias

from ..errors import DataError
from .import_rows import Imported, Row, few, need_file, need_folder, padded
from .plain_pickle import read_plain_pickle
from .scan import visible_images

LABELS = "labels.pkl"
MASKS = "l2_mask"

_Key: TypeAlias = int | str


def read_mganet(source: Path) -> Imported:
    """Read one set. Keys of ``labels.pkl`` that are ints are image stems as numbers, whose masks are ``<stem>.png``
    (SoyCultivarVein, HainanLeaf); strings are file names, which the masks share (BtfPIS).

    Labels become class names of equal width, so class 1 is ``001`` among 200. An image without a mask is kept; a
    JPEG mask is taken as grey, because JPEG blurs it. Raises DataError for a missing piece, labels that are not a
    dict of one kind of key to int, images without a label or the reverse, two images of one key, and no mask at all.
    """
    labels = _read_labels(need_file(source, LABELS, "mganet"))
    masks = need_folder(source, MASKS, "mganet")
    by_number = isinstance(next(iter(labels)), int)
    images: dict[_Key, tuple[Path, str]] = {}
    for split in ("train", "test"):
        for path in visible_images(need_folder(source, split, "mganet")):
            key = _number(path) if by_number else path.name
            if key in images:
                both = f"{images[key][1]}/{images[key][0].name} and {split}/{path.name}"
                raise DataError(f"{both} are both {key!r} in {LABELS}: keep or rename one")
            images[key] = path, split
    _need_same(labels, {key: f"{split}/{path.name}" for key, (path, split) in images.items()})
    names = padded(set(labels.values()))
    rows = []
    for key, (path, split) in images.items():
        mask = masks / (f"{path.stem}.png" if by_number else path.name)
        found = mask if mask.is_file() else None
        soft = mask.suffix.lower() in (".jpg", ".jpeg")
        rows.append(Row(path, f"{split}/{path.name}", names[labels[key]], split, mask=found, soft=soft))
    if not any(row.mask for row in rows):
        raise DataError(f"no file in {masks} has the name that an image's mask has: look for the masks elsewhere")
    return Imported(rows)


def _number(path: Path) -> int:
    if not (path.stem.isascii() and path.stem.isdigit()):
        raise DataError(
            f"{path} is not named by a number, though the keys of {LABELS} are numbers: rename or remove it"
        )
    return int(path.stem)


def _read_labels(path: Path) -> dict[_Key, int]:
    """The labels, found to be a dict of one kind of key, int or str, to ints from 0. Raises DataError if not."""
    labels = read_plain_pickle(path)
    if not isinstance(labels, dict) or not labels:
        what = "an empty dict" if isinstance(labels, dict) else f"a {type(labels).__name__}"
        raise DataError(f"{path} holds {what}: it must hold a dict of image number or file name to int")
    # By type, not isinstance: a bool is an int that means something else.
    kinds = {type(key) for key in labels}
    if len(kinds) > 1 or not kinds <= {int, str}:
        found = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise DataError(f"{path} has keys of {found}: they must all be int (image stems) or all str (file names)")
    wrong = [key for key, label in labels.items() if type(label) is not int or not 0 <= label < 10**6]
    if wrong:
        raise DataError(f"{path} has labels that are not class numbers, for {few(wrong)}: they must be ints from 1")
    return labels


def _need_same(labels: dict[_Key, int], images: dict[_Key, str]) -> None:
    unlabelled = [name for key, name in images.items() if key not in labels]
    if unlabelled:
        raise DataError(f"{LABELS} has no label for {few(unlabelled)}: add it or remove the image")
    absent = [key for key in labels if key not in images]
    if absent:
        raise DataError(f"{LABELS} labels {few(absent)}, but train/ and test/ have no such image: restore it")
