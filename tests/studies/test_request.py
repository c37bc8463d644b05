"""The request for a study: option names, types and defaults."""

import datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from venation.errors import UsageError
from venation.studies.request import OPTIONS, StudyRequest, make_request
from venation.trials.kinds import Kind

LEAST = {"name": "soy", "kind": "classifier"}


def test_the_options_are_those_of_a_study_file() -> None:
    names = "name kind data base preset space from init trials timeout objective constraint set folds search sampler"
    assert OPTIONS == (*names.split(), "pruner", "eta", "first_rung", "seed", "heartbeat")


def test_an_option_may_be_called_as_in_a_file_or_as_the_field() -> None:
    filed = make_request(
        LEAST | {"from": "old", "objective": "iou", "constraint": ["macs<=1"], "set": {"gate": "none"}}
    )
    named = StudyRequest(
        name="soy",
        kind=Kind.CLASSIFIER,
        warm_start="old",
        objectives=("iou",),
        constraints=("macs<=1",),
        settings={"gate": "none"},
    )
    assert filed == named


def test_none_leaves_the_default() -> None:
    request = make_request(LEAST | {"preset": None, "trials": None, "objective": None, "set": None})
    assert request == StudyRequest(name="soy", kind=Kind.CLASSIFIER)
    assert (request.preset, request.trials, request.objectives) == ("default", None, ())


def test_values_are_read_as_their_types() -> None:
    day = datetime.date(2024, 5, 1)
    request = make_request(LEAST | {"base": day, "trials": "7", "timeout": 60, "data": "leaves"})
    assert (request.base, request.trials, request.timeout, request.data) == ("2024-05-01", 7, 60.0, Path("leaves"))


def test_a_request_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        make_request(LEAST).trials = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": None}, "a new study needs a NAME"),
        ({"kind": None}, r"a new study needs `--kind classifier\|decoder\|booster\|multitask`"),
        ({"kind": "leaf"}, "kind `leaf` does not exist; the kinds are: classifier, decoder, booster"),
        ({"trails": 3}, "`trails` in the request is not an option of a study; did you mean: trials"),
        ({"qqqq": 3}, f"did you mean: {', '.join(OPTIONS)}"),
        ({"trials": "many"}, "`trials` = 'many': input should be a valid integer"),
    ],
)
def test_a_wrong_option_is_rejected_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        make_request(LEAST | options)
    assert "\n" not in str(caught.value)
