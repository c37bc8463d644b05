"""Open the artifact store that an option, an environment variable or the home folder names."""

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
    """Open the artifact store of ``url``.

    Without a ``url`` the variable ``VENATION_ARTIFACTS`` names the store; without both it is the
    folder ``artifacts`` in ``embedded.home()``. A URL is ``s3://BUCKET/PREFIX``,
    ``gs://BUCKET/PREFIX``, a ``file:`` URL or a path. A missing folder is created. A bucket must
    exist; its objects are listed once, so that a wrong bucket is found before a training.

    Raises UserError for another scheme or a missing library, StoreFailed for a store that cannot be
    used.
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
    with suppress(OSError):  # read-only for this user: a process with write access sweeps it
        store.sweep()
    return store


def _bucket(given: str) -> tuple[str, str]:
    parts = urlsplit(given)
    if not parts.netloc or "@" in parts.netloc or parts.query or parts.fragment:
        raise UserError(f"artifacts cannot be kept at {_shown(given)}; {_FORMS}")
    return parts.netloc, parts.path.strip("/")


def _folder(given: str) -> Path:
    parts = urlsplit(given)
    # One letter is a Windows drive, not a scheme.
    if len(parts.scheme) <= 1:
        return Path(given).expanduser().resolve()
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise UserError(f"artifacts cannot be kept at {_shown(given)}; {_FORMS}")
    return Path(url2pathname(parts.path)).resolve()


def _shown(given: str) -> str:
    """Return the scheme and host of a URL, without its secrets."""
    parts = urlsplit(given)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}" if parts.scheme in ("file", "s3", "gs") else f"{parts.scheme}:"
