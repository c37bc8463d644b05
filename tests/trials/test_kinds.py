"""The facts of the kinds of study."""

import pytest

from venation.errors import UsageError
from venation.spaces.presets import PRESETS
from venation.trials.kinds import BASE_PARTS, Kind, read_kind
from venation.trials.metrics import MINIMISED
from venation.trials.trial_config import TrialConfig


@pytest.mark.parametrize(
    ("kind", "objectives", "needs_base"),
    [
        ("classifier", ("accuracy", "macro_f1", "logloss"), False),
        ("decoder", ("iou", "dice", "iou_ref"), True),
        ("booster", ("logloss", "accuracy"), True),
        ("multitask", ("accuracy", "macro_f1", "logloss", "iou", "dice", "iou_ref", "accuracy_iou"), False),
    ],
)
def test_each_kind_lists_its_objectives_the_default_first(
    kind: str, objectives: tuple[str, ...], needs_base: bool
) -> None:
    facts = read_kind(kind).facts
    assert (facts.objectives, facts.needs_base) == (objectives, needs_base)


def test_the_objectives_of_all_kinds() -> None:
    names = {name for kind in Kind for name in kind.facts.objectives}
    metrics = {"accuracy", "macro_f1", "iou", "dice", "iou_ref", "accuracy_iou", "logloss"}
    assert names == metrics and names & MINIMISED == {"logloss"}


@pytest.mark.parametrize("kind", Kind)
def test_the_facts_of_a_kind_are_consistent(kind: Kind) -> None:
    facts = kind.facts
    assert facts.has_epochs == (facts.task is not None) == ("train" in facts.parts)
    assert facts.has_folds == ("boost" in facts.parts)
    assert set(facts.parts) <= TrialConfig.model_fields.keys()
    assert facts.needs_base != (set(BASE_PARTS) <= set(facts.parts))
    assert kind in PRESETS["default"]


def test_an_unknown_kind_is_rejected() -> None:
    with pytest.raises(UsageError, match="kind `leaf` does not exist; the kinds are: classifier, decoder, booster"):
        read_kind("leaf")
