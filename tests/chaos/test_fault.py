"""Faults that silence workers: a share of them outlasts the grace."""

import random
import signal
from types import SimpleNamespace
from typing import Any, cast

import pytest

from venation.chaos import fault
from venation.chaos.fault import Undo
from venation.chaos.sandbox import Sandbox
from venation.chaos.studies import HEARTBEAT_S
from venation.chaos.worker_faults import pause
from venation.search.heartbeat import grace_seconds


class FakeWorkers:
    """Two workers that record the signals that they get."""

    def __init__(self) -> None:
        self.signals: list[tuple[int, int]] = []

    def running(self) -> dict[int, int]:
        return {0: 100, 1: 101}

    def signal(self, pid: int, signum: int) -> None:
        self.signals.append((pid, signum))


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A sandbox whose worker 1 runs a trial."""
    monkeypatch.setattr(fault, "list_workers", lambda _storage: [{"pid": 101, "state": "busy"}])
    fake = SimpleNamespace(storage=None, workers=FakeWorkers(), grace=grace_seconds(HEARTBEAT_S))
    return cast(Sandbox, fake)


def test_most_pauses_of_busy_workers_outlast_the_grace(sandbox: Sandbox) -> None:
    rng = random.Random(0)
    undos = [pause(sandbox, rng) for _ in range(200)]
    assert all(undo.outlasts_grace == (undo.seconds > sandbox.grace) for undo in undos)
    assert 120 < sum(undo.outlasts_grace for undo in undos) < 180
    assert set(cast(Any, sandbox.workers).signals) == {(101, signal.SIGSTOP)}, "only the busy worker"
    undos[0].call()
    assert cast(Any, sandbox.workers).signals[-1] == (101, signal.SIGCONT)


def test_a_silence_of_an_idle_worker_is_not_counted(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fault, "list_workers", lambda _storage: [])
    undos: list[Undo] = [pause(sandbox, random.Random(seed)) for seed in range(20)]
    assert not any(undo.outlasts_grace for undo in undos)


def test_the_grace_is_that_of_the_studies() -> None:
    assert Sandbox.grace == grace_seconds(HEARTBEAT_S) == 3.0
