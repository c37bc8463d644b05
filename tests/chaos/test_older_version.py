"""Workers of another version: those that refuse, work until they end or are stopped, or break."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from study_helpers import DEADLINE_S

from venation.chaos.older_version import OlderVersion, check_older
from venation.errors import UsageError

# Stands for the older version: the word after `worker` says how the worker ends.
CLI = """
import os, signal, sys, time

def app(command):
    end = command[1]
    if end == "refuses":
        print("Error: study `refuses` was created by another version of Venation", file=sys.stderr)
        raise SystemExit(1)
    if end == "breaks":
        raise KeyError("spec")
    print(f"study {end} trial 0: COMPLETE", file=sys.stderr)
    if end == "waits":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        open(command[-1] + ".waits", "w").close()
        signal.pause()
"""


@pytest.fixture
def older(tmp_path: Path) -> Path:
    folder = tmp_path / "older"
    for name in ("venation", "torch", "optuna", "psycopg2", "sqlalchemy"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").touch()
    (folder / "venation" / "cli.py").write_text(CLI)
    return folder


def wait_until(seen: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_ends_of_its_workers_are_told_apart(older: Path, tmp_path: Path) -> None:
    check_older(older)
    version = OlderVersion(older, url="postgresql://nowhere/x", store=tmp_path / "store", logs=tmp_path)
    try:
        workers = {study: version.start_worker(study) for study in ("refuses", "works", "waits", "breaks")}
        wait_until(lambda: all(workers[study].has_ended() for study in ("refuses", "works", "breaks")))
        wait_until((tmp_path / "store.waits").exists)
        assert not workers["waits"].has_ended()
        for worker in workers.values():
            worker.finish()
    finally:
        version.close()
    assert version.outcomes == {"refused": 1, "worked": 2}
    (crash,) = version.crashes
    assert "neither refused nor worked" in crash and "KeyError: 'spec'" in crash


def test_a_folder_without_the_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no package venation; give the folder of `git worktree add"):
        check_older(tmp_path)
