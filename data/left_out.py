"""Files beside the images that are left out, because their extensions are not read."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from . import heic
from .manifest import Manifest
from .scan_folders import IMAGE_EXTENSIONS

_PHONE = heic.EXTENSIONS | {".avif"}


def describe_left_out(files: Iterable[Path]) -> str | None:
    """Return one line that counts the files of ``files`` that are no images, by extension.

    None if every visible file is an image by its extension.
    """
    names = (path for path in files if not path.name.startswith(".") and path.suffix.lower() not in IMAGE_EXTENSIONS)
    counts = Counter(path.suffix.lower() or "no extension" for path in names if path.is_file())
    if not counts:
        return None
    total = sum(counts.values())
    listed = ", ".join(f"{number} {suffix}" for suffix, number in counts.most_common())
    if counts.keys() & heic.EXTENSIONS:
        advice = '; pip install "venation[heic]" to have HEIC read, or save photos as JPEG'
    else:
        advice = "; save photos as JPEG to have them read" if counts.keys() & _PHONE else ""
    noun = "file that is no image by its extension" if total == 1 else "files that are no images by their extensions"
    return f"left out {total} {noun} ({listed}){advice}"


def left_out_of(manifest: Manifest) -> str | None:
    """Return ``describe_left_out`` of the folders that are named after a class."""
    folders = {sample.image.parent for sample in manifest.samples if sample.image.parent.name == sample.label}
    return describe_left_out(path for folder in sorted(folders) for path in folder.iterdir())
