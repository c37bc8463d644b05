"""Pack and unpack bundles: zip archives and file lists; unsafe paths and links are refused."""

import zipfile
import zlib
from pathlib import Path, PurePosixPath

from ..errors import UserError


def check_inside(bundle: Path, name: str) -> None:
    """Raise UserError unless ``name`` is a relative path that stays in the bundle."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        raise UserError(f"`{bundle}` names `{name}`, which leads out of the bundle; do not trust this file.")


def unpack(bundle: Path, folder: Path) -> None:
    """Unpack an archive into ``folder``. Raises UserError if it is damaged or leads outside."""
    try:
        with zipfile.ZipFile(bundle) as archive:
            for entry in archive.infolist():
                check_inside(bundle, entry.filename)
            archive.extractall(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError) as error:
        raise UserError(
            f"`{bundle}` cannot be unpacked ({error}); copy or export it again, and check the free space for"
            " temporary files."
        ) from None


def pack(folder: Path, path: Path) -> Path:
    """Write the files of ``folder`` as an uncompressed archive ``path`` and return the path."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in list_files(folder):
            archive.write(file, file.relative_to(folder).as_posix())
    return path


def list_files(folder: Path) -> list[Path]:
    """Return all files below ``folder``, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def refuse_links(folder: Path) -> None:
    """Raise UserError if a file below ``folder`` is a link."""
    for path in folder.rglob("*"):
        if path.is_symlink():
            raise UserError(f"`{path.name}` in the bundle is a link; a bundle has plain files only: do not trust it.")
