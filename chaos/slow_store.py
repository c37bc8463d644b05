"""An artifact store on a slow disk: every access waits as long as a file says."""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ..storage.store_protocol import Artifacts, Entry


class SlowStore:
    """A store whose methods wait before they call those of ``store``.

    The file ``delay`` has the seconds, and may change at any time.
    """

    def __init__(self, store: Artifacts, delay: Path) -> None:
        self._store, self._delay = store, delay

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """Open a file for reading."""
        return self._after_delay().open_reader(artifact_id)

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Store all of ``content_body``."""
        self._after_delay().write(artifact_id, content_body)

    def remove(self, artifact_id: str) -> None:
        """Delete a file."""
        self._after_delay().remove(artifact_id)

    def link(self, artifact_id: str, path: Path) -> None:
        """Store the file ``path``."""
        self._after_delay().link(artifact_id, path)

    def entries(self) -> Iterator[Entry]:
        """Yield all files of the store."""
        return self._after_delay().entries()

    def sweep(self) -> None:
        """Delete incomplete files."""
        self._after_delay().sweep()

    def _after_delay(self) -> Artifacts:
        with suppress(FileNotFoundError, ValueError):  # it is being written
            time.sleep(float(self._delay.read_text()))
        return self._store


def set_delay(delay: Path, seconds: float) -> None:
    """Let every access to the stores of the file ``delay`` wait so many seconds."""
    delay.write_text(f"{seconds:.3f}")
