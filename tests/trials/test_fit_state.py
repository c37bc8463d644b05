"""The end of a fit: all epochs, or ``patience`` of them without a better one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from venation.models.network import MultitaskNetwork
from venation.trials import epochs
from venation.trials.train import finished_epochs

from .test_train import QUICK, Parts, run

Make = Callable[..., MultitaskNetwork]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[float]], None]:
    """Return a function that sets the accuracies of the coming epochs."""

    def set_accuracies(values: list[float]) -> None:
        scripted = iter(values)
        monkeypatch.setattr(epochs, "evaluate", lambda *_, **__: {"accuracy": next(scripted), "logloss": 1.0})

    return set_accuracies


@pytest.mark.parametrize(
    ("patience", "ends_after"), [(0, 8), (1, 3), (2, 7), (3, 8)], ids=["off", "one", "two", "more"]
)
def test_a_fit_ends_after_epochs_without_a_better_one(
    parts: Parts, make_network: Make, script: Callable[[list[float]], None], patience: int, ends_after: int
) -> None:
    """A tie is no better epoch; the best ones are those with 0.1, 0.2, 0.3 and 0.4."""
    script([0.1, 0.2, 0.2, 0.3, 0.4, 0.4, 0.1, 0.3])
    config = QUICK.model_copy(update={"epochs": 8, "patience": patience})
    results = list(run(make_network(), parts, config))
    assert [result.last for result in results] == [False] * (ends_after - 1) + [True]


def test_patience_counts_across_a_resume_and_a_stopped_fit_stays_stopped(
    parts: Parts, make_network: Make, script: Callable[[list[float]], None], tmp_path: Path
) -> None:
    config, path = QUICK.model_copy(update={"epochs": 8, "patience": 2}), tmp_path / "c.safetensors"
    script([0.5, 0.4])
    first: Any = run(make_network(), parts, config, checkpoint=path)
    assert [next(first).last, next(first).last] == [False, False]
    first.close()
    script([0.3])
    (result,) = run(make_network(seed=3), parts, config, checkpoint=path)
    assert result.epoch == 2 and result.last
    assert list(run(make_network(seed=4), parts, config, checkpoint=path)) == []
    assert len(finished_epochs(path)) == 3


def test_the_schedule_does_not_depend_on_patience(parts: Parts, make_network: Make) -> None:
    plain = list(run(make_network(), parts, QUICK))
    patient = list(run(make_network(), parts, QUICK.model_copy(update={"patience": 4})))
    assert [result.losses for result in patient] == [result.losses for result in plain]
