"""The temporary home of a chaos run."""

import shutil

import pytest

from venation.chaos.sandbox import temporary_home
from venation.storage import embedded


def test_home_is_removed_unless_it_must_be_kept(caplog: pytest.LogCaptureFixture) -> None:
    violations: list[str] = []
    with temporary_home(lambda: bool(violations)) as home:
        embedded.start()
    assert not home.exists() and "stay in" not in caplog.text
    violations.append("one")
    with temporary_home(lambda: bool(violations)) as home:
        (home / "worker-0.log").touch()
    assert (home / "worker-0.log").exists() and f"stay in {home}" in caplog.text
    shutil.rmtree(home)
