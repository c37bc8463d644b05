"""Normalisation and interpolation of the encoder, against timm's models, in trials of a study."""

from pathlib import Path

import pytest
import timm
from study_helpers import SETTINGS, StudyHarness

from venation.errors import UsageError
from venation.insight.plan import plan_study
from venation.search.handle import StudyHandle
from venation.spaces.classifier import CLASSIFIER_SPACE
from venation.spaces.fields import get_field, set_fields
from venation.spaces.presets import recipe
from venation.studies.base import recorded_config
from venation.studies.create import create_requested
from venation.studies.migrate import migrate_study
from venation.studies.placement import place
from venation.studies.request import make_request
from venation.trials.auto_fields import resolve_auto

FIELDS = ("data.mean", "data.std", "data.interpolation")
DEFAULT = recipe("default", "classifier").config
ENCODERS = ("test_resnet", "test_efficientnet")


def own_view(encoder: str) -> tuple[object, ...]:
    """Return mean, std and interpolation of a model that timm has built."""
    given = timm.create_model(encoder).default_cfg
    return tuple(given["mean"]), tuple(given["std"]), given["interpolation"]


@pytest.mark.parametrize("encoder", [*ENCODERS, "tf_efficientnet_lite0", "vit_tiny_patch16_224", "resnet18"])
def test_the_encoder_decides_where_the_config_says_auto(encoder: str) -> None:
    config = resolve_auto(set_fields(DEFAULT, {"encoder.name": encoder}))
    assert tuple(get_field(config, field) for field in FIELDS) == own_view(encoder)
    assert resolve_auto(config) == config


def test_the_default_has_the_view_of_efficientnet_lite() -> None:
    assert {get_field(DEFAULT, field) for field in FIELDS} == {"auto"}
    half = (0.5, 0.5, 0.5)
    assert tuple(get_field(resolve_auto(DEFAULT), field) for field in FIELDS) == (half, half, "bicubic")


@pytest.mark.parametrize(
    ("settings", "frozen_bn", "head_start", "wise_ft"),
    [
        ({}, True, "probe", True),
        ({"encoder.name": "resnet18", "encoder.weights": "none"}, False, "random", False),
        ({"plugin.width": 64}, True, "random", False),
        ({"train.frozen_bn": False, "train.head_start": "random"}, False, "random", False),
        ({"encoder.weights": "none", "train.frozen_bn": "true", "train.head_start": "probe"}, True, "probe", True),
        ({"train.wise_ft": "false"}, True, "probe", False),
    ],
)
def test_pretrained_weights_decide_the_start(
    settings: dict[str, object], frozen_bn: bool, head_start: str, wise_ft: bool
) -> None:
    train = resolve_auto(set_fields(DEFAULT, settings)).train
    assert (train.frozen_bn, train.head_start, train.wise_ft) == (frozen_bn, head_start, wise_ft)


def test_a_random_head_is_not_mixed_with() -> None:
    with pytest.raises(UsageError, match=r"train.wise_ft=true .* set train.head_start=probe or train.wise_ft=false"):
        set_fields(DEFAULT, {"train.wise_ft": True, "train.head_start": "random"})


def test_a_random_head_is_not_mixed_with_either_where_auto_means_it(harness: StudyHarness) -> None:
    with pytest.raises(UsageError, match=r"train.wise_ft=true .* set train.head_start=probe or train.wise_ft=false"):
        harness.create(settings={"train.wise_ft": True})
    config = set_fields(DEFAULT, {"train.wise_ft": True})
    drawn = {dimension.name for dimension in CLASSIFIER_SPACE.dimensions if dimension.applies(config)}
    assert "train.head_start" not in drawn and "train.frozen_bn" in drawn


def test_values_that_are_set_stay() -> None:
    config = resolve_auto(set_fields(DEFAULT, {"data.mean": "0.1,0.2,0.3", "data.interpolation": "bilinear"}))
    assert (config.data.mean, config.data.std) == ((0.1, 0.2, 0.3), (0.5, 0.5, 0.5))
    assert config.data.interpolation == "bilinear"


@pytest.mark.parametrize("preset", ["mganet", "xmnet", "mnsa", "pim", "herbs"])
def test_the_papers_recipes_keep_their_numbers(preset: str) -> None:
    data = recipe(preset, "classifier").config.data
    assert (data.mean, data.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert data.interpolation == "bilinear"


def create_over_encoders(harness: StudyHarness, folder: Path) -> StudyHandle:
    """Create a study of two trials, one with each encoder."""
    (folder / "space.yaml").write_text(f"encoder.name: [{', '.join(ENCODERS)}]\n")
    request = make_request(
        {
            "name": "soy",
            "kind": "classifier",
            "data": harness.data,
            "trials": 2,
            "space": folder / "space.yaml",
            "settings": {name: value for name, value in SETTINGS.items() if name != "encoder.name"},
        }
    )
    return create_requested(harness.storage, harness.artifacts, request)[0]


def test_a_trial_records_the_view_of_the_encoder_that_it_drew(harness: StudyHarness, tmp_path: Path) -> None:
    handle = create_over_encoders(harness, tmp_path)
    decoder = {"decoder.kind": "unet", "decoder.channels": 4, "train.epochs": 1}
    veins = harness.create("veins", "decoder", base="soy", settings=decoder)
    assert plan_study(harness.context(veins))["hours"] > 0, "a base that has not ended has no numbers yet"
    harness.work(handle, veins)
    configs = [recorded_config(trial) for trial in handle.study.get_trials()]
    assert {config.encoder.name for config in configs} == set(ENCODERS)
    for config in configs:
        assert tuple(get_field(config, field) for field in FIELDS) == own_view(config.encoder.name)
        assert place(config, handle.spec) == {"encoder.name": config.encoder.name}
    (own,) = (recorded_config(trial) for trial in veins.study.get_trials())
    assert any(own.data.same_view(config.data) for config in configs)
    moved = migrate_study(handle, harness.artifacts, "soy-2", trials=3)
    assert [row["outcome"] for row in moved.rows] == ["copied", "copied"]
