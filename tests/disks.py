"""A small file system in memory, for tests that fill it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mount a file system in memory at ``folder``; skip the test if this user may not mount one."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(["mount", *options], capture_output=True).returncode != 0:
        pytest.skip("only root may mount a small file system, and not in every container")
    try:
        yield folder
    finally:
        # Lazily, because a failed test may still have files open in it.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
