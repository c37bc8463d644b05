"""Names of the pictures of images: short, portable, and no two alike."""

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..escaping import printable

# File systems allow 255 bytes; an extension and the affixes of a temporary file are added.
_NAME_BYTES = 200


def picture_names(images: Sequence[Path], taken: Iterable[str] = ()) -> list[str]:
    """Return a file name without extension for each image, which depends only on the arguments.

    It is the first of these that no other image has and that is not ``taken``: the stem; the
    folder's name and the stem; the stem and the extension; both with one, two and more folders; the
    stem and a hash of the path. Names that differ in case or Unicode form only count as equal. A
    file that is given twice has one name.
    """
    places = [Path(os.path.abspath(path)) for path in images]
    waiting, used = list(dict.fromkeys(places)), set(map(_comparable, taken))
    names: dict[Path, str] = {}
    level = 0
    while waiting:
        candidates = {place: _candidate(place, level) for place in waiting}
        uses = Counter(map(_comparable, candidates.values()))
        free = {
            place: name
            for place, name in candidates.items()
            if uses[_comparable(name)] == 1 and _comparable(name) not in used
        }
        names |= free
        used |= set(map(_comparable, free.values()))
        waiting = [place for place in waiting if place not in free]
        level += 1
    return [names[place] for place in places]


def _candidate(path: Path, level: int) -> str:
    folders = path.parts[1:-1]
    with_extension = [path.stem, path.suffix[1:]]
    match level:
        case 0:
            parts = [path.stem]
        case 1:
            parts = [path.parent.name, path.stem]
        case 2:
            parts = with_extension
        case _:
            parts = [*folders[-(level - 2) :], *with_extension]
    name = _portable("_".join(filter(None, parts)))
    if level > len(folders) + 2 or len(name.encode()) > _NAME_BYTES:
        digest = hashlib.sha256(os.fsencode(path) + str(level).encode()).hexdigest()[:12]
        return f"{_portable(path.stem)[:40]}_{digest}"
    return name


def _portable(name: str) -> str:
    """Replace what a table or another system's path cannot have in a file name."""
    return printable(name).replace("\\", "_")


def _comparable(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
