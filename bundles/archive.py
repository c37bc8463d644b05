"""Pack and unpack bundles, within bounds: zip archives, file lists, and files read as a whole.

Unsafe paths, links and everything that is no plain file are refused, and so is what would fill
memory or disk: the number of files, their depth, their bytes and how far they expand.
"""

import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ..errors import UserError

MAX_FILES = 10_000
MAX_DEPTH = 8
MAX_NAME = 255
MAX_BYTES = 1 << 34
# bundle.json and the other files of text; images.json has 70 bytes for each image.
MAX_TEXT_BYTES = 1 << 26
# Weights, graphs and pictures hardly shrink; JSON does by a factor of 10 to 20.
MAX_RATIO = 100
_FREE_BYTES = 1 << 24  # too small to fill a disk, whatever their ratio

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    RuntimeError,
    NotImplementedError,
    ValueError,
    OSError,
)


def check_inside(bundle: Path, name: str) -> None:
    """Raise UserError unless ``name`` is a usual relative path that stays in the bundle."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        raise UserError(f"`{bundle}` names `{name}`, which leads out of the bundle; do not trust this file.")
    if not path.parts or "\0" in name or len(path.parts) > MAX_DEPTH or max(map(len, path.parts)) > MAX_NAME:
        raise UserError(
            f"`{bundle}` names `{name[:100]}`, which is no name of a bundle's file; do not trust this file."
        )


def unpack(bundle: Path, folder: Path) -> None:
    """Unpack an archive into ``folder``.

    Raises UserError if it is damaged, leads outside or is above the bounds.
    """
    try:
        with zipfile.ZipFile(bundle) as archive:
            _check_entries(bundle, archive.infolist())
            archive.extractall(folder)
    except UserError:
        raise
    except _DAMAGED as error:
        raise UserError(
            f"`{bundle}` cannot be unpacked ({error}); copy or export it again, and check the free space for"
            " temporary files."
        ) from None


def _check_entries(bundle: Path, entries: list[zipfile.ZipInfo]) -> None:
    """Check an archive's list before a byte is written; zipfile writes no more than it says."""
    _need(bundle, len(entries) <= MAX_FILES, f"has more than {MAX_FILES} files")
    for entry in entries:
        check_inside(bundle, entry.filename)
        _need(bundle, entry.compress_type in _METHODS, "is compressed by another method than deflate")
    names = {entry.filename.rstrip("/").casefold() for entry in entries}
    _need(bundle, len(names) == len(entries), "has two files of one name")
    size = sum(entry.file_size for entry in entries)
    packed = sum(entry.compress_size for entry in entries)
    _need(bundle, size <= MAX_BYTES, f"expands to more than {MAX_BYTES >> 30} GiB")
    _need(bundle, size <= max(_FREE_BYTES, MAX_RATIO * packed), f"expands to more than {MAX_RATIO} times its size")


def _need(bundle: Path, held: bool, otherwise: str) -> None:
    if not held:
        raise UserError(f"`{bundle}` {otherwise}, which no bundle does; do not trust this file.")


def pack(folder: Path, path: Path) -> Path:
    """Write the files of ``folder`` as an uncompressed archive ``path`` and return the path."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in list_files(folder):
            archive.write(file, file.relative_to(folder).as_posix())
    return path


def list_files(folder: Path) -> list[Path]:
    """Return all files below ``folder``, sorted.

    Raises UserError for a link, for what is neither file nor folder, and above the bounds.
    """
    found = []
    for path in _walk(folder):
        found.append(path)
        if len(found) > MAX_FILES:
            raise UserError(f"`{folder}` has more than {MAX_FILES} files, which no bundle has: give a bundle.")
    return sorted(found)


def _walk(folder: Path, depth: int = 0) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                raise UserError(
                    f"`{entry.name}` in the bundle is a link; a bundle has plain files only: do not trust it."
                )
            if entry.is_dir():
                if depth == MAX_DEPTH:
                    raise UserError(
                        f"`{entry.name}` in the bundle is more than {MAX_DEPTH} folders deep: give a bundle."
                    )
                yield from _walk(Path(entry.path), depth + 1)
            elif entry.is_file():
                yield Path(entry.path)
            else:
                raise UserError(f"`{entry.name}` in the bundle is no file; a bundle has plain files only: remove it.")


def read_text_file(path: Path) -> bytes:
    """Return the content of a bundle's file of text.

    Raises OSError, and UserError if it has more than ``MAX_TEXT_BYTES``.
    """
    if path.stat().st_size > MAX_TEXT_BYTES:
        raise UserError(f"{path.name} has more than {MAX_TEXT_BYTES >> 20} MiB, which no bundle has; do not trust it.")
    return path.read_bytes()
