"""Recorded scores against those of the exported weights, with records made by hand."""

from types import SimpleNamespace
from typing import Any

import pytest

from venation.bundles.record import BundleRecord, Interval, Source
from venation.data.data_config import SplitConfig
from venation.errors import UserError
from venation.studies.reproduced import require_reproduced
from venation.trials.kinds import Kind
from venation.trials.trial_config import TrialConfig


def source(kind: str, objective: str, value: float) -> Source:
    return Source(study="soy", kind=kind, trial=3, objective=objective, value=value, seed=0)


def check(
    kind: Kind, objective: str, recorded: float, *, folds: int = 0, booster: bool = False, **found: float
) -> None:
    """Compare a recorded value with the scores ``found`` on 100 validation images."""
    sources = (source(kind, objective, recorded), *([source("booster", "logloss", 0.1)] if booster else []))
    record = BundleRecord(
        sources=sources, config=TrialConfig(), classes=("ash", "elm"), images={"train": 1, "val": 100, "test": 1},
        metrics={"val": {name: Interval(value=value, low=0, high=1) for name, value in found.items()}},
        data_fingerprint="", split=SplitConfig(), provenance={},
    )  # fmt: skip
    pick: Any = SimpleNamespace(source=lambda: sources[0], handle=SimpleNamespace(spec=SimpleNamespace(folds=folds)))
    require_reproduced({kind: pick}, record)


def test_a_value_that_the_weights_give_again_passes() -> None:
    check(Kind.CLASSIFIER, "accuracy", 0.91, accuracy=0.92)
    check(Kind.DECODER, "iou", 0.5, iou=0.505, accuracy=0.1)
    check(Kind.CLASSIFIER, "accuracy", 0.91, booster=True, accuracy=0.99, head_accuracy=0.91)


def test_another_value_is_refused_with_both() -> None:
    with pytest.raises(UserError, match="trial 3 of `soy` recorded accuracy 0.9100 .* now give 0.8800") as error:
        check(Kind.CLASSIFIER, "accuracy", 0.91, accuracy=0.88)
    assert "was not written" in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(UserError, match="logloss 0.5000"):
        check(Kind.BOOSTER, "logloss", 0.5, logloss=0.55)


def test_scores_of_other_images_or_batches_are_left_out() -> None:
    check(Kind.CLASSIFIER, "accuracy", 0.91, folds=3, accuracy=0.5)
    check(Kind.DECODER, "iou_ref", 0.91, iou_ref=0.5)
    check(Kind.BOOSTER, "logloss", 0.9)
