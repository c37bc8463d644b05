"""Constraints: parsing, complaints, and checks before the first trial."""

from pathlib import Path
from typing import Any

import pytest
from study_helpers import SETTINGS, StudyHarness

from venation.errors import UsageError
from venation.models.cost import cost
from venation.search.constraints import amount, complaints, read_constraints
from venation.studies.migrate import migrate_study
from venation.studies.request import make_request
from venation.studies.resolve import build_spec


def test_constraints_read_as_they_are_written() -> None:
    low, high, same = read_constraints(["parameters<=5e6", " latency >= 2.5 ", "macs<=1000"])
    assert [str(c) for c in (low, high, same)] == ["parameters<=5000000", "latency>=2.5", "macs<=1000"]
    assert low.excess(5e6) == 0 and low.excess(6e6) == pytest.approx(0.2) and low.excess(4e6) < 0
    assert high.excess(2.5) == 0 and high.excess(2) == pytest.approx(0.2) and high.excess(3) < 0
    assert read_constraints(["macs<=1000", "macs <= 1e3"]) == (same,)


def test_complaints_are_readable() -> None:
    constraints = read_constraints(["parameters<=5e6", "latency>=20", "macs<=2000"])
    held = {"parameters": 5e6, "latency": 20.0, "macs": 1999.0}
    assert complaints(constraints, held) == []
    broken = {"parameters": 6.2e6, "latency": 12.5, "macs": 3.5e9}
    assert complaints(constraints, broken) == ["parameters 6.2M > 5M", "latency 12.5 ms < 20 ms", "macs 3.5G > 2k"]
    assert complaints(constraints, {"parameters": 6.2e6}) == ["parameters 6.2M > 5M"], "the others are not known yet"
    assert amount("parameters", 530) == "530"


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["parameters"], "constraint `parameters` is not understood; write NAME<=NUMBER or NAME>=NUMBER"),
        (["parameters<5"], "is not understood"),
        (["parameters=5"], "is not understood"),
        (["<=5"], "is not understood"),
        (["params<=5"], "constraint `params<=5` is on `params`, .* choose from: parameters, macs, latency"),
        (["accuracy>=0.8"], "is on `accuracy`, which is not known before training"),
        (["macs<=many"], "constraint `macs<=many` needs a positive number after `<=`, not `many`"),
        (["macs<=nan"], "needs a positive number"),
        (["macs<=inf"], "needs a positive number"),
        (["macs<=0"], "needs a positive number"),
        (["macs>=-3"], "needs a positive number"),
        (["macs<=1", "latency<=9", "macs>=2"], "constraints `macs<=1` and `macs>=2` contradict each other"),
    ],
)
def test_invalid_or_contradictory_constraints_are_rejected_in_one_line(texts: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        read_constraints(texts)
    assert "\n" not in str(caught.value)


def space_file(folder: Path) -> Path:
    """Two encoders of 82 and 373 thousand parameters."""
    file = folder / "space.yaml"
    file.write_text("encoder.name: [test_efficientnet, test_resnet]\n")
    return file


@pytest.mark.parametrize(
    ("constraint", "message"),
    [
        ("parameters<=8e4", "constraint `parameters<=80000` leaves nothing to search: .* smallest network are 82.5k"),
        ("parameters>=4e5", "leaves nothing to search: parameters of this space's largest network are 373k"),
        ("macs<=1e6", "leaves nothing to search: macs of this space's smallest network are 2.272M"),
    ],
)
def test_a_constraint_that_no_network_meets_is_rejected_at_creation(
    harness: StudyHarness, tmp_path: Path, constraint: str, message: str
) -> None:
    settings = {name: value for name, value in SETTINGS.items() if name != "encoder.name"}
    options: dict[str, Any] = {"name": "soy", "kind": "classifier", "data": harness.data, "settings": settings}
    options["space"] = space_file(tmp_path)
    with pytest.raises(UsageError, match=message) as caught:
        build_spec(harness.storage, make_request(options | {"constraint": [constraint]}))
    assert "\n" not in str(caught.value)
    constraints = ["parameters<=1e5", "parameters>=8e4", "latency<=1e-9"]
    spec, _ = build_spec(harness.storage, make_request(options | {"constraint": constraints}))
    assert [str(c) for c in spec.constraints] == ["parameters<=100000", "parameters>=80000", "latency<=1e-09"]


def test_a_decoder_is_counted_on_its_base(harness: StudyHarness, tmp_path: Path) -> None:
    base = harness.create("soy").spec
    (tmp_path / "space.yaml").write_text("train.lr: [0.001, 0.002]\n")
    settings = {"decoder.kind": "unet", "decoder.channels": 8}
    options: dict[str, Any] = {"settings": settings, "space": tmp_path / "space.yaml"}
    spec = harness.create("veins", "decoder", base="soy", **options).spec
    whole = spec.config.model_copy(update={part: getattr(base.config, part) for part in ("encoder", "gate", "data")})
    parameters = cost(whole.network(3)).parameters
    assert parameters > 372_981, "the base's own are counted"
    harness.create("in", "decoder", base="soy", constraint=f"parameters<={parameters}", **options)
    with pytest.raises(UsageError, match=f"`parameters<={parameters - 1}` leaves nothing to search"):
        harness.create("out", "decoder", base="soy", constraint=f"parameters<={parameters - 1}", **options)


def test_a_booster_study_has_no_network_to_constrain(harness: StudyHarness) -> None:
    harness.create("soy")
    with pytest.raises(UsageError, match="a booster study trains no network that `macs<=5` could hold back"):
        harness.create("boost", "booster", base="soy", constraint="macs<=5")


def test_a_migrated_study_keeps_its_constraints_and_they_must_be_met_there(harness: StudyHarness) -> None:
    old = harness.create(constraint="parameters<=4e5", settings={"encoder.name": "test_resnet"})
    with pytest.raises(UsageError, match="`parameters<=400000` leaves nothing to search"):
        migrate_study(old, harness.artifacts, "large", settings={"encoder.name": "resnet18"})
    new = migrate_study(old, harness.artifacts, "small", settings={"encoder.name": "test_efficientnet"})
    assert new.handle.spec.constraints == old.spec.constraints
