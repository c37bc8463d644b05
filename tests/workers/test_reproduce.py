"""A trial trained again: equal to the last bit on one thread, and every difference named."""

from pathlib import Path

import numpy as np
import pytest
import torch
from study_helpers import StudyHarness

from venation.errors import UserError
from venation.studies.registry import get_trial
from venation.trials.checkpoint import read_weights, write_weights
from venation.workers import reproduce as module
from venation.workers.reproduce import Reproduction, reproduce, setup_differences, weights_difference


def test_a_trial_is_reproduced_to_the_last_bit_and_a_changed_weight_is_seen(
    harness: StudyHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = harness.create(settings={"data.rotate": 20, "train.epochs": 2})
    harness.work(handle)
    # The state of the process must not matter.
    torch.manual_seed(99)
    found = reproduce(harness.context(handle), 0)
    assert found.exact and found.weights_difference == 0 and {"accuracy", "logloss"} <= found.metrics.keys()
    assert found.sentence().startswith("trial 0 of `soy` is reproduced to the last bit: ")
    assert len(handle.study.get_trials()) == 1
    monkeypatch.setattr(module, "get_file", changed_file(module.get_file, tmp_path / "changed.safetensors"))
    other = reproduce(harness.context(handle), 0)
    assert not other.exact and other.weights_difference == pytest.approx(0.5)
    assert "differs: weights by up to 0.5. Why: the recorded set-up is the same" in other.sentence()


def changed_file(get: object, path: Path) -> object:
    """Return a ``get_file`` whose weights have another bias."""

    def get_changed(*arguments: object, **options: object) -> Path:
        weights = read_weights(get(*arguments, **options))  # type: ignore[operator]
        weights["head.bias"][0] += 0.5
        write_weights(weights, path)
        return path

    return get_changed


def test_only_finished_trials_are_reproduced(harness: StudyHarness) -> None:
    handle = harness.create()
    handle.study.enqueue_trial({})
    number = handle.study.get_trials()[-1].number
    with pytest.raises(UserError, match="is WAITING, and only a COMPLETE one"):
        reproduce(harness.context(handle), number)
    with pytest.raises(UserError, match="has no trial 99"):
        get_trial(handle, 99)


def test_weights_are_compared_by_name_and_shape() -> None:
    first = {"a": np.array([1.0, 2.0], np.float32), "b": np.empty((0, 3))}
    assert weights_difference(first, {**first}) == 0
    assert weights_difference(first, first | {"a": np.array([1.0, 1.75], np.float32)}) == 0.25
    assert weights_difference(first, {"a": first["a"]}) == float("inf")
    assert weights_difference(first, first | {"a": np.zeros(3)}) == float("inf")
    two = {"a": np.zeros(2), "b": np.zeros(2)}
    for name in two:
        assert weights_difference(two, two | {name: np.array([0, np.nan])}) == float("inf")


def test_the_sentence_names_what_differs_and_why(harness: StudyHarness) -> None:
    context = harness.context(harness.create())
    recorded = {"versions": {"torch": "1.0"}, "threads": 64, "python": "2.7", "processes": 2}
    why = setup_differences(recorded, context)
    assert any(reason.startswith("torch 1.0, here ") for reason in why)
    assert f"threads 64, here {torch.get_num_threads()}" in why and any(w.startswith("python 2.7") for w in why)
    assert "2 processes trained it together, here one" in why
    said = Reproduction("soy", 3, {"accuracy": (0.5, 0.75), "logloss": (1.0, 1.0)}, 0.125, why).sentence()
    assert said.startswith("trial 3 of `soy` differs: weights by up to 0.12; accuracy 0.5, now 0.75. Why: torch 1.0")
    assert "logloss" not in said and "\n" not in said
