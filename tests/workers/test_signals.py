"""Stop signals at inconvenient moments: during a log line, and during another signal."""

import logging
import signal
from collections.abc import Iterator

import pytest
from study_helpers import DEADLINE_S, StudyHarness

from venation.leases.claim import claim
from venation.workers.logs import TrialLog, read_log
from venation.workers.signals import StopFlag, Stopped, stop_signals

pytestmark = pytest.mark.usefixtures("no_hang")


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """Venation's logger at INFO; the handlers of a test are removed afterwards."""
    logger = logging.getLogger("venation")
    level, before = logger.level, list(logger.handlers)
    logger.setLevel(logging.INFO)
    yield logger
    logger.setLevel(level)
    logger.handlers[:] = before


def test_a_signal_during_a_log_line_adds_one_line(harness: StudyHarness, logger: logging.Logger) -> None:
    handle = harness.create()
    lease = claim(handle, max_losses=3)
    assert lease is not None
    log = TrialLog(harness.artifacts, lease)
    signalled: list[bool] = []

    def format_with_signal(record: logging.LogRecord) -> str:
        if not signalled:
            signalled.append(True)
            signal.raise_signal(signal.SIGTERM)
        return record.getMessage()

    log.format = format_with_signal  # type: ignore[method-assign]  # called under the log's lock
    logger.addHandler(log)
    with stop_signals(60.0) as stop:
        logger.info("an epoch")
        assert stop.is_set()
    log.store()
    lines = read_log(handle, harness.artifacts, handle.study.get_trials()[0])
    assert [line.n for line in lines] == [1, 2] and lines[0].text == "an epoch"
    assert lines[1].text.startswith("stopping after the running epoch, in 60 s at the latest")


def test_a_second_signal_during_the_first_stops_at_once(logger: logging.Logger) -> None:
    class Again(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            signal.raise_signal(signal.SIGTERM)

    logger.addHandler(Again())
    with pytest.raises(Stopped), stop_signals(60.0):
        signal.raise_signal(signal.SIGINT)


def test_drain_of_zero_seconds_stops_at_once() -> None:
    with pytest.raises(Stopped), stop_signals(0.0) as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop.is_set() and not stop.wait(DEADLINE_S), "the signal that ends the drain interrupts the wait"


def test_a_flag_can_be_set_during_its_wait() -> None:
    flag = StopFlag()
    before = signal.signal(signal.SIGUSR1, lambda *_: flag.set())
    try:
        signal.raise_signal(signal.SIGUSR1)
        assert flag.wait(3600.0)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert not StopFlag().wait(0.01)
