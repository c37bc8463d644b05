"""Words about a network that relies on the background."""

from venation.trials.background import describe_background
from venation.trials.evaluate import share_score


def test_a_fall_beyond_both_intervals_is_said() -> None:
    said = describe_background({"accuracy": share_score(38, 40), "accuracy_blanked": share_score(22, 40)})
    assert said is not None and "falls from 0.950 to 0.550" in said and "relies on the background" in said


def test_a_fall_that_may_be_chance_and_a_rise_are_not() -> None:
    assert describe_background({"accuracy": share_score(4, 8), "accuracy_blanked": share_score(2, 8)}) is None
    assert describe_background({"accuracy": share_score(22, 40), "accuracy_blanked": share_score(38, 40)}) is None
    assert describe_background({"accuracy": share_score(38, 40)}) is None
