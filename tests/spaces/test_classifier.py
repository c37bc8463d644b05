"""The encoders and image sizes that the classifier space offers where trials can use them."""

import optuna
import pytest

from venation.models.package_weights import WeightsPackage
from venation.spaces import classifier
from venation.spaces.classifier import CLASSIFIER_SPACE, feasible_space
from venation.spaces.fields import set_fields
from venation.spaces.presets import recipe
from venation.spaces.space import Choice, Space

DEFAULT = recipe("default", "classifier").config
LITE0, LITE1, LITE2 = (f"tf_efficientnet_lite{number}" for number in range(3))


def offered(space: Space) -> tuple[object, ...]:
    """Return the encoders of a space."""
    return next((d.choices for d in space.dimensions if d.name == "encoder.name" and isinstance(d, Choice)), ())


@pytest.mark.parametrize(
    ("found", "expected"), [({LITE0, LITE2}, (LITE0, LITE2)), ({LITE2}, (LITE0, LITE2)), ({LITE0}, ()), (set(), ())]
)
def test_the_space_offers_the_encoders_whose_weights_are_found(
    found: set[str], expected: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier, "found_offline", lambda name: name in found)
    space = feasible_space(CLASSIFIER_SPACE, DEFAULT)
    assert offered(space) == expected
    assert space.without({"encoder.name"}) == CLASSIFIER_SPACE.without({"encoder.name"})
    assert not space.outside(DEFAULT)


def test_random_weights_are_always_at_hand_and_those_of_a_file_are_one_encoders(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(WeightsPackage, "find", lambda self: None)
    random = set_fields(DEFAULT, {"encoder.weights": "none"})
    assert offered(feasible_space(CLASSIFIER_SPACE, random)) == (LITE0, LITE1, LITE2)
    file = set_fields(DEFAULT, {"encoder.weights": "weights.safetensors"})
    assert offered(feasible_space(CLASSIFIER_SPACE, file)) == ()


def test_image_sizes_are_those_that_the_encoder_takes() -> None:
    tokens = set_fields(DEFAULT, {"encoder.name": "test_vit", "encoder.weights": "none"})
    given = Space(dimensions=(Choice(name="data.size", choices=(32, 40, 48)),))
    (dimension,) = feasible_space(given, tokens).dimensions
    assert dimension.choices == (32, 48)
    assert feasible_space(given, DEFAULT) == given
    assert feasible_space(Space(dimensions=(Choice(name="data.size", choices=(32, 40)),)), tokens) == Space()


def test_a_space_without_encoders_stays_as_it_is() -> None:
    space = recipe("default", "decoder").space
    assert feasible_space(space, DEFAULT) == space


def test_the_search_draws_encoder_and_image_size() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [CLASSIFIER_SPACE.suggest(study.ask(), DEFAULT) for _ in range(30)]
    assert {config.encoder.name for config in drawn} == {LITE0, LITE1, LITE2}
    assert {config.data.size for config in drawn} == {160, 224, 288}
    assert {config.encoder.weights for config in drawn} == {"pretrained"}


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({}, set()),
        ({"train.mask_weight": 0.1}, {"train.mixup"}),
        ({"plugin.width": 64}, {"train.mixup", "train.head_start"}),
        ({"encoder.weights": "none"}, {"train.head_start", "train.frozen_bn"}),
    ],
)
def test_fields_that_exclude_each_other_are_not_drawn_together(settings: dict[str, object], missing: set[str]) -> None:
    config = set_fields(DEFAULT, settings)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        trial = study.ask()
        CLASSIFIER_SPACE.suggest(trial, config)
        assert {dimension.name for dimension in CLASSIFIER_SPACE.dimensions} - trial.params.keys() == missing
