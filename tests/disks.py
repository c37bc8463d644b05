"""A file system of a few megabytes, for tests that fill it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, megabytes: int) -> Iterator[Path]:
    """``folder`` as a file system of its own in memory; the test is skipped where only root could mount one."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(["mount", *options], capture_output=True).returncode != 0:
        pytest.skip("only root may mount a small file system, and not in every container")
    try:
        yield folder
    finally:
        # Lazily: what a failed test still holds open must not keep it.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
