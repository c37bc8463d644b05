"""What every test stands on: a home folder of its own, one thread, and an embedded PostgreSQL for those that ask."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from small_bundle import SmallBundle

os.environ["OMP_NUM_THREADS"] = "1"

pytest_plugins = ["study_fixtures"]  # studies and workers of tests, for all the rooms that have to do with them


@pytest.fixture(scope="session", autouse=True)
def venation_home() -> Iterator[Path]:
    """A short-lived home (its server is stopped at the end), and no setting of the person who runs the tests."""
    folder = Path(tempfile.mkdtemp(prefix="vn")).resolve()
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
    """The URL of the session's embedded server. Nothing in it has to survive a power cut."""
    from venation.storage import embedded

    url = embedded.start()
    _execute(url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
    return url


@pytest.fixture
def postgres_url(_server: str) -> Iterator[str]:
    """An empty database of the test's own."""
    name = f"test_{uuid.uuid4().hex}"
    _execute(_server, f"CREATE DATABASE {name} TEMPLATE template0")
    yield _server.replace("/venation?", f"/{name}?")
    _execute(_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def tiny(_server: str, tmp_path_factory: pytest.TempPathFactory) -> "SmallBundle":
    """The run's bundle: read it, never write to it."""
    import torch
    from small_bundle import make_bundle

    torch.set_num_threads(1)
    return make_bundle(tmp_path_factory.getbasetemp())


@pytest.fixture
def copied(tiny: "SmallBundle", tmp_path: Path) -> Path:
    """A copy of the bundle that a test may damage."""
    return Path(shutil.copytree(tiny.path, tmp_path / "copy.bundle"))


def _execute(url: str, *statements: str) -> None:
    import psycopg2

    connection = psycopg2.connect(url.replace("+psycopg2", ""))
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    finally:
        connection.close()
