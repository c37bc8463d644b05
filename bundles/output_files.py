"""Write output files atomically, with errors in one line."""

import io
from pathlib import Path

from PIL import Image

from ..errors import UserError
from ..trials.files import atomic_write


def as_png(picture: Image.Image) -> bytes:
    """Return the picture as the bytes of a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def as_jpeg(picture: Image.Image) -> bytes:
    """Return the picture as the bytes of a JPEG file whose thin lines keep their colours."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=92, subsampling=0)
    return buffer.getvalue()


def make_folder(path: Path) -> None:
    """Create the output folder before the work starts. Raises UserError if that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from None


def write_output(path: Path, content: bytes) -> None:
    """Write an output file atomically.

    Raises UserError if the disk is full or the folder cannot be created. Outputs can be recomputed,
    so the write does not wait for the disk.
    """
    try:
        with atomic_write(path, fsync=False) as aside:
            aside.write_bytes(content)
    except OSError as error:
        raise unwritable(path, error) from None


def unwritable(path: Path, error: OSError) -> UserError:
    """Return the error for an output that cannot be written."""
    return UserError(f"cannot write `{path}` ({error.strerror or error}); make room or choose another folder with -o.")
