"""Fixtures of all tests: a temporary home folder, an embedded PostgreSQL and a small bundle."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browsers import chromium
from slow_files import is_slow
from sql_helpers import execute

if TYPE_CHECKING:
    from small_bundle import SmallBundle

os.environ["OMP_NUM_THREADS"] = "1"

pytest_plugins = ["study_fixtures"]  # studies and workers, which several folders of tests use


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that `make quick` leaves out."""
    for item in items:
        if is_slow(item):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def venation_home() -> Iterator[Path]:
    """Use a temporary home folder without environment settings; stop its server at the end."""
    folder = Path(tempfile.mkdtemp(prefix="vn")).resolve()
    folder.chmod(0o755)  # the server's user passes through it
    with pytest.MonkeyPatch.context() as patch:
        for name in ("VENATION_STORAGE", "VENATION_STORAGE_PASSWORD_FILE", "VENATION_ARTIFACTS"):
            patch.delenv(name, raising=False)
        patch.setenv("VENATION_HOME", str(folder))
        yield folder
        if (folder / "postgres").exists():
            from venation.storage import embedded

            embedded.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def _server(venation_home: Path) -> str:
    """Start the session's embedded server without fsync, and return its superuser's URL."""
    from venation.storage import embedded

    url = embedded.start().replace(f"//{embedded.USER}@", "//postgres@")
    execute(url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
    return url


@pytest.fixture
def postgres_url(_server: str) -> Iterator[str]:
    """Create an empty database for one test, and yield its URL."""
    name = f"test_{uuid.uuid4().hex}"
    execute(_server, f"CREATE DATABASE {name} TEMPLATE template0")
    yield _server.replace("/venation?", f"/{name}?")
    execute(_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def small_bundle(_server: str, tmp_path_factory: pytest.TempPathFactory) -> "SmallBundle":
    """Return the session's bundle, which tests must not change."""
    import torch
    from small_bundle import make_bundle

    torch.set_num_threads(1)
    return make_bundle(tmp_path_factory.getbasetemp())


@pytest.fixture
def copied(small_bundle: "SmallBundle", tmp_path: Path) -> Path:
    """Return the path of a copy of the bundle that a test may change."""
    return Path(shutil.copytree(small_bundle.path, tmp_path / "copy.bundle"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Yield a Chromium, or skip the test."""
    with chromium() as started:
        yield started
