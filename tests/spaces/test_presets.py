"""The presets: the papers' numbers, and spaces that contain trial 0 and draw valid configs."""

import itertools
import math

import optuna
import pytest

from venation.errors import UsageError
from venation.spaces.booster import XMNET_BOOSTER_SPACE
from venation.spaces.decoder import DECODER_SPACE, MNSA_SPACE
from venation.spaces.fields import set_fields
from venation.spaces.presets import PRESETS, Recipe, recipe
from venation.spaces.space import Choice, Float, Space
from venation.trials.trial_config import TrialConfig

ALL = [(preset, kind) for preset, kinds in PRESETS.items() for kind in kinds]
WIDTHS = ("deform3", "deform5", "atrous2", "atrous3", "meanmax")


@pytest.fixture(params=ALL, ids="-".join)
def any_recipe(request: pytest.FixtureRequest) -> Recipe:
    """Return each recipe in turn."""
    return recipe(*request.param)


def test_config_and_space_survive_json(any_recipe: Recipe) -> None:
    assert TrialConfig.model_validate_json(any_recipe.config.model_dump_json()) == any_recipe.config
    assert Space.model_validate_json(any_recipe.space.model_dump_json()) == any_recipe.space


def test_trial_0_is_the_recipe_itself(any_recipe: Recipe) -> None:
    config, space = any_recipe.config, any_recipe.space
    point = space.point(config)
    assert point.keys() == {dimension.name for dimension in space.dimensions if dimension.applies(config)}
    trial = optuna.trial.FixedTrial(dict(point))
    assert space.suggest(trial, config) == config


def test_every_draw_is_a_config_that_differs_only_in_the_space(any_recipe: Recipe) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(5):
        trial = study.ask()
        config = any_recipe.space.suggest(trial, any_recipe.config)
        assert trial.params.keys() == {d.name for d in any_recipe.space.dimensions if d.applies(config)}
        assert any_recipe.space.point(config) == trial.params


@pytest.mark.parametrize(("preset", "kind"), ALL)
def test_every_start_is_a_point_of_the_space(preset: str, kind: str) -> None:
    found = recipe(preset, kind)
    for start in found.starts:
        assert found.space.point(set_fields(found.config, start)).items() >= start.items()


def test_a_booster_must_beat_logistic_regression_and_the_head() -> None:
    found = recipe("default", "booster")
    assert found.config.boost.booster == "logistic" and found.starts[0] == {"boost.booster": "head"}
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    dead = {"logistic": {"reg_alpha", "eta", "max_depth", "subsample", "colsample", "drop"}, "gbtree": {"drop"}}
    dead |= {"gblinear": {"max_depth", "subsample", "colsample", "drop"}, "dart": set()}
    dead["head"] = dead["logistic"] | {"reg_lambda"}
    seen = set()
    for _ in range(40):
        trial = study.ask()
        kind = found.space.suggest(trial, found.config).boost.booster
        seen.add(kind)
        assert not {f"boost.{name}" for name in dead[kind]} & trial.params.keys()
    assert seen == dead.keys()


@pytest.mark.parametrize("preset", ["mganet", "xmnet", "mnsa"])
def test_the_papers_share_one_classifier_recipe(preset: str) -> None:
    config = recipe(preset, "classifier").config
    train = config.train
    assert (train.optimizer, train.lr, train.momentum, train.weight_decay) == ("sgd", 0.05, 0.9, 5e-4)
    assert (train.schedule, train.epochs, train.batch_size) == ("cosine", 150, 32)
    encoder = config.encoder
    assert (encoder.name, encoder.frozen_children, encoder.frozen_bn_eval) == ("densenet161", "auto", False)
    assert config.data.size == 448
    assert recipe(preset, "classifier").space == Space()


def test_pim_and_herbs_equal_the_papers_cub_recipes() -> None:
    pim, herbs = recipe("pim", "classifier").config, recipe("herbs", "classifier").config
    positions = [48 * 48, 24 * 24, 12 * 12, 12 * 12]
    for config, selected in ((pim, [2048, 512, 128, 32]), (herbs, [256, 128, 64, 32])):
        assert [round(share * number) for share, number in zip(config.plugin.keep, positions, strict=True)] == selected
        assert (config.encoder.name, config.encoder.taps) == ("swin_large_patch4_window12_384.ms_in22k", "merged")
        assert (config.data.size, config.data.size * config.data.zoom, config.plugin.width) == (384, 510, 1536)
        assert (config.data.hflip, config.data.blur, config.data.sharpen) == (0.5, 0.1, 0.1)
        train = config.train
        assert (train.optimizer, train.nesterov, train.lr, train.schedule) == ("sgd", True, 5e-4, "warmcosine")
        losses = train.plugin
        assert (losses.selected, losses.dropped, losses.combined) == (0.0, 5.0, 1.0)
    assert (pim.train.epochs, pim.train.batch_size, pim.train.accumulate, pim.train.warmup_steps) == (50, 16, 2, 800)
    assert (herbs.train.epochs, herbs.train.batch_size, herbs.train.accumulate) == (80, 8, 4)
    assert (herbs.train.warmup_steps, pim.train.weight_decay, herbs.train.weight_decay) == (1500, 5e-4, 3e-4)
    assert (pim.train.plugin.stage, pim.train.plugin.refine) == (0.5, 0)
    losses = herbs.train.plugin
    assert (losses.stage, losses.refine, losses.temperature, losses.temperature_epochs) == (0.3, 1.375, 64, 10)
    assert (pim.plugin.rule, pim.plugin.joint, pim.plugin.bottom_up, pim.plugin.pass_equal) == ("own", 32, False, True)
    assert (herbs.plugin.rule, herbs.plugin.joint, herbs.plugin.bottom_up) == ("image", 64, True)
    assert not herbs.plugin.pass_equal and losses.refine_mean == "elements" and not losses.refine_scaled


def test_mganet_guides_the_gate_by_the_mask_and_erases_half_of_the_images() -> None:
    config = recipe("mganet", "classifier").config
    assert (config.gate, config.train.mask_weight, config.data.erase) == ("meanmax", 0.1, 0.5)
    assert recipe("xmnet", "classifier").config.train.mask_weight == 0


def test_mganet_evaluates_whole_images_and_the_others_centre_crops() -> None:
    fits = {preset: recipe(preset, "classifier").config.data.fit for preset in ("mganet", "xmnet", "mnsa")}
    assert fits == {"mganet": "whole", "xmnet": "crop", "mnsa": "crop"}


@pytest.mark.parametrize(("preset", "kind"), [("xmnet", "unet"), ("mnsa", "mnsa")])
def test_the_papers_train_the_decoder_with_batches_of_eight(preset: str, kind: str) -> None:
    config = recipe(preset, "decoder").config
    assert config.decoder.kind == kind and config.decoder.channels == 0
    assert config.train == recipe(preset, "classifier").config.train.model_copy(update={"batch_size": 8})


def test_xmnet_gates_the_skips_from_the_third_level_on() -> None:
    assert recipe("xmnet", "decoder").config.decoder.gate_from == 3


def test_mnsa_searches_243_architectures() -> None:
    names = [dimension.name for dimension in MNSA_SPACE.dimensions]
    assert names == [f"decoder.widths.{branch}" for branch in WIDTHS]
    choices = [dimension.choices for dimension in MNSA_SPACE.dimensions if isinstance(dimension, Choice)]
    assert all(set(each) == {1 / 16, 1 / 8, 1 / 4} for each in choices)
    assert len(set(itertools.product(*choices))) == 243


def test_the_wide_decoder_space_draws_only_dimensions_that_apply() -> None:
    start = recipe("default", "decoder").config
    assert recipe("default", "decoder").space == DECODER_SPACE
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen: dict[str, set[object]] = {}
    for _ in range(120):
        trial = study.ask()
        decoder = DECODER_SPACE.suggest(trial, start).decoder
        enhanced = decoder.kind == "mnsa"
        scales = [name for name in trial.params if name.startswith(("decoder.widths.", "decoder.levels."))]
        assert len(scales) == (10 if enhanced else 0)
        assert ("decoder.transfer" in trial.params) == enhanced
        assert ("decoder.deform_kernel" in trial.params) == (enhanced and decoder.widths.deform5 > 0)
        assert ("decoder.dilation" in trial.params) == (enhanced and decoder.widths.atrous3 > 0)
        for name, value in trial.params.items():
            seen.setdefault(name, set()).add(value)
    for dimension in DECODER_SPACE.dimensions:
        if isinstance(dimension, Choice):
            assert seen[dimension.name] == set(dimension.choices)


def test_the_first_three_trials_of_mnsa_are_the_published_ones() -> None:
    """TPE with seed 1 draws them (section 6.4); they are trial 0 and the starts of the preset."""
    found = recipe("mnsa", "decoder")
    first = [set_fields(found.config, start).decoder.widths for start in ({}, *found.starts)]
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=1))
    drawn = []
    for _ in range(3):
        trial = study.ask()
        widths = MNSA_SPACE.suggest(trial, recipe("mnsa", "decoder").config).decoder.widths
        drawn.append(tuple(getattr(widths, branch) for branch in WIDTHS))
        study.tell(trial, 0.0)
    assert drawn == [tuple(getattr(widths, branch) for branch in WIDTHS) for widths in first]
    assert drawn == [
        (1 / 8, 1 / 16, 1 / 4, 1 / 4, 1 / 8),
        (1 / 16, 1 / 4, 1 / 16, 1 / 8, 1 / 4),
        (1 / 4, 1 / 8, 1 / 8, 1 / 8, 1 / 8),
    ]


def test_xmnet_searches_only_parameters_of_gblinear() -> None:
    dimensions = {dimension.name: dimension for dimension in XMNET_BOOSTER_SPACE.dimensions}
    assert dimensions.keys() == {"boost.reg_lambda", "boost.reg_alpha", "boost.eta"}
    for dimension in dimensions.values():
        assert isinstance(dimension, Float) and dimension.log
        assert math.isclose(dimension.low, 1e-8) and dimension.high == 1.0
    assert recipe("xmnet", "booster").config.boost.booster == "gblinear"


def test_unknown_presets_and_kinds_list_the_existing_ones() -> None:
    with pytest.raises(UsageError, match="preset `resnet` does not exist; the presets are: default, xmnet, mnsa"):
        recipe("resnet", "classifier")
    with pytest.raises(
        UsageError, match="`mnsa` has no recipe for kind `booster`; these presets have one: default, xmnet"
    ):
        recipe("mnsa", "booster")
