"""One input, one reader: the answer is a result or one line, and nothing else happens."""

import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from venation.errors import UserError

MAX_BYTES = 2 << 30
MAX_SECONDS = 20  # of the processor
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = ("os.mkdir", "os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir")
_RUNS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "pickle.find_class")


class Fault(AssertionError):
    """An answer that breaks a rule: memory, time, files outside or left behind, programs run."""


@dataclass(frozen=True)
class Kind:
    """Inputs of one kind: valid ``seeds``, a strategy made of them, and the reader.

    ``read`` gets an input and an empty folder. ``share`` is the kind's part of all inputs, ``few``
    the number in the tests. ``runs`` if the reader starts a process of its own.
    """

    name: str
    make_seeds: Callable[[], list[bytes]]
    make_inputs: Callable[[list[bytes]], st.SearchStrategy[bytes]]
    read: Callable[[bytes, Path], object]
    share: float
    few: int = 20
    runs: bool = False

    @cached_property
    def seeds(self) -> list[bytes]:
        return self.make_seeds()

    @cached_property
    def inputs(self) -> st.SearchStrategy[bytes]:
        return self.make_inputs(self.seeds)


def attempt(kind: Kind, content: bytes, folder: Path) -> bool:
    """Return whether the reader accepts an input; False if it is refused with one line.

    Raises Fault, and every error that is not the project's own.
    """
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tmp").mkdir(parents=True)
    (folder / "in").mkdir()
    peak, started = _peak(), time.process_time()
    accepted, short = True, False
    with _watched(folder, kind.runs) as seen:
        try:
            kind.read(content, folder / "in")
        except UserError as error:
            accepted, short = False, _wants_memory(error)
            if "\n" in str(error):
                raise Fault(f"more than one line: {error}") from error
    if seen:
        raise Fault(f"it did {seen[0]}")
    if left := sorted(path.name for path in (folder / "tmp").iterdir()):
        raise Fault(f"it left {left}")
    if short or _peak() - peak > MAX_BYTES:
        raise Fault(f"it took more than {MAX_BYTES >> 30} GiB of memory")
    if time.process_time() - started > MAX_SECONDS:
        raise Fault(f"it took more than {MAX_SECONDS} s")
    return accepted


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _wants_memory(error: BaseException | None) -> bool:
    """Return whether an error began with an allocation that failed."""
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


class _Watch:
    """The notes of an audit hook of Python: files changed outside a folder, and programs run."""

    folder: str | None = None
    runs = False
    seen: list[str] = []
    hooked = False


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _Watch.folder is None:
        return
    if event in _RUNS and not _Watch.runs:
        _Watch.seen.append(f"{event} {str(arguments)[:200]}")
    elif event == "open" and isinstance(arguments[0], str | bytes) and (arguments[2] or 0) & _WRITES:
        _check(event, arguments[0])
    elif event in _CHANGES and arguments[-1] in (-1, None):  # not relative to an open folder
        _check(event, arguments[0])


def _check(event: str, path: Any) -> None:
    if isinstance(path, int):
        return
    text = os.path.abspath(os.fsdecode(path))
    if not text.startswith((_Watch.folder or "", "/dev/null")) and "__pycache__" not in text:
        _Watch.seen.append(f"{event} of {text}")


@contextmanager
def _watched(folder: Path, runs: bool) -> Iterator[list[str]]:
    if not _Watch.hooked:
        sys.addaudithook(_hook)
        _Watch.hooked = True
    before, tempfile.tempdir = tempfile.tempdir, str(folder / "tmp")
    _Watch.folder, _Watch.runs, _Watch.seen = str(folder.resolve()), runs, []
    try:
        yield _Watch.seen
    finally:
        _Watch.folder = None
        tempfile.tempdir = before
