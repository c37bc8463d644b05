import pytest

from venation.reports.names import difference_text, duration_text
from venation.reports.network_sections import leak_words
from venation.trials.paired import PairedDifference


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.14159, "3.14 s"), (119, "119 s"), (120, "2 min"), (450, "7.5 min"), (7200, "2 h")]
)
def test_durations_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_shares_differ_by_points_and_other_metrics_by_their_unit() -> None:
    assert difference_text("accuracy", 0.041, 0.012, 0.07) == "4.1 points (1.2 to 7.0)"
    assert difference_text("logloss", 0.0412, -0.012, 0.07) == "0.0412 (-0.012 to 0.07)"


@pytest.mark.parametrize(
    ("difference", "p_value", "says"),
    [(0.3, 0.001, "falls without"), (-0.3, 0.001, "rises without"), (0.02, 0.8, "No sign that")],
)
def test_the_leak_check_claims_what_the_test_shows(difference: float, p_value: float, says: str) -> None:
    found = PairedDifference(100, difference, difference - 0.1, difference + 0.1, 30, 0, p_value)
    assert says in leak_words(found, 0.9, 0.9 - difference, who="trial 3")
