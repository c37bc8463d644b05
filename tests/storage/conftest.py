"""One tiny bundle for all tests of a run, and copies of it to damage."""

import shutil
from pathlib import Path

import pytest
import torch
from tiny import TinyBundle, make_bundle


@pytest.fixture(scope="session")
def tiny(_server: str, tmp_path_factory: pytest.TempPathFactory) -> TinyBundle:
    """The run's bundle: read it, never write to it."""
    torch.set_num_threads(1)
    return make_bundle(tmp_path_factory.getbasetemp())


@pytest.fixture
def copied(tiny: TinyBundle, tmp_path: Path) -> Path:
    """A copy of the bundle that a test may damage."""
    return Path(shutil.copytree(tiny.path, tmp_path / "copy.bundle"))
