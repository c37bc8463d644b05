"""Read the image of a request: one file of a form, no larger than a limit, into a file."""

import asyncio
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive

from ..escaping import printable

FIELD = "file"
# The bytes of a form around its file: boundaries, headers, small fields.
_AROUND = 64 << 10
_NAME = 120


@dataclass
class Upload:
    """An uploaded file; ``name`` is the sender's, safe to print."""

    name: str
    _file: IO[bytes] = field(repr=False)

    @property
    def path(self) -> Path:
        """The file, until ``close``."""
        return Path(self._file.name)

    def close(self) -> None:
        """Delete the file."""
        self._file.close()


async def read_upload(request: Request, *, limit: int, seconds: float) -> Upload:
    """Return the uploaded file of a request; the caller closes it.

    Raises HTTPException: 413 as soon as the body is larger than ``limit`` bytes by its header or by
    what came, 408 if it takes longer than ``seconds``, 400 for a form without one file.
    """
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit + _AROUND:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(seconds):
            return await _read(Request(request.scope, _counted(request.receive, limit)), limit)
    except TimeoutError:
        raise HTTPException(408, f"the upload took longer than {seconds:g} seconds; send a smaller image.") from None
    except (MultiPartException, ClientDisconnect, ValueError, LookupError):
        raise HTTPException(400, _advice("the form cannot be read")) from None


async def _read(request: Request, limit: int) -> Upload:
    async with request.form(max_files=1, max_fields=4) as form:
        given = form.get(FIELD)
        if not isinstance(given, UploadFile):
            raise HTTPException(400, _advice("the form has no file"))
        if (given.size or 0) > limit:
            raise _too_large(limit)
        if not given.size:
            raise HTTPException(400, _advice("the file is empty"))
        name = printable(PurePosixPath((given.filename or "").replace("\\", "/")).name)[:_NAME] or "image"
        file = tempfile.NamedTemporaryFile(prefix="venation-upload-")  # noqa: SIM115
        await asyncio.to_thread(shutil.copyfileobj, given.file, file)
        file.flush()
        return Upload(name, file)


def _counted(receive: Receive, limit: int) -> Receive:
    """Return ``receive`` that stops a body of more than ``limit`` bytes."""
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit + _AROUND:
            raise _too_large(limit)
        return message

    return counted


def _too_large(limit: int) -> HTTPException:
    size = f"{limit / 2**20:.3g} MB"
    return HTTPException(413, f"the file is larger than {size}; send a smaller image, or start serve with --max-mb.")


def _advice(problem: str) -> str:
    return f"{problem}; send one image as the field `{FIELD}` of a multipart form."
