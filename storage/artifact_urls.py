"""Which artifact store holds: the one of an option, of a variable, or a folder of the home."""

import os
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ..errors import UserError
from . import embedded
from .folder import FolderStore
from .store_protocol import Artifacts

_FORMS = "give a folder, as a path or as file:///PATH, or a bucket: s3://BUCKET/PREFIX or gs://BUCKET/PREFIX"


def open_artifacts(url: str | None) -> Artifacts:
    """The store of ``url``, else of ``VENATION_ARTIFACTS``, else the folder ``artifacts`` of ``embedded.home()``.

    ``url`` is ``s3://BUCKET/PREFIX``, ``gs://BUCKET/PREFIX``, a ``file:`` URL or a path; a folder is made. A bucket
    must be there, and is asked for its list: a wrong one is found before anything is trained. Raises UserError for
    another scheme or a missing library, StoreFailed for a store that cannot be used.
    """
    given = url or os.environ.get("VENATION_ARTIFACTS")
    if not given:
        return _open_folder(embedded.home() / "artifacts")
    match urlsplit(given).scheme:
        case "s3":
            from .s3 import open_s3

            return open_s3(*_bucket(given))
        case "gs":
            from .gcs import open_gcs

            return open_gcs(*_bucket(given))
        case _:
            return _open_folder(_folder(given))


def _open_folder(folder: Path) -> FolderStore:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot keep artifacts in {folder}: {error.strerror}; give another folder with --artifacts"
        ) from None
    store = FolderStore(folder)
    with suppress(OSError):  # one that may only be read is swept by others
        store.sweep()
    return store


def _bucket(given: str) -> tuple[str, str]:
    parts = urlsplit(given)
    if not parts.netloc or "@" in parts.netloc or parts.query or parts.fragment:
        raise UserError(f"artifacts cannot be kept at {_shown(given)}; {_FORMS}")
    return parts.netloc, parts.path.strip("/")


def _folder(given: str) -> Path:
    parts = urlsplit(given)
    # One letter is a drive of Windows, not a scheme.
    if len(parts.scheme) <= 1:
        return Path(given).expanduser().resolve()
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise UserError(f"artifacts cannot be kept at {_shown(given)}; {_FORMS}")
    return Path(url2pathname(parts.path)).resolve()


def _shown(given: str) -> str:
    """A URL without what may be secret in it."""
    parts = urlsplit(given)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}" if parts.scheme in ("file", "s3", "gs") else f"{parts.scheme}:"
