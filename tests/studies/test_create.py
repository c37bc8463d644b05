"""Create studies: inherited fields, the no-op, and every rejection in one line."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from PIL import Image
from study_helpers import SETTINGS, StudyHarness

from venation.bundles.record import WEIGHTS
from venation.data.data_config import SplitConfig
from venation.errors import DataError, UsageError, UserError
from venation.storage.attributes import SPEC
from venation.studies.checks import frozen_children_notes, recipe_outside
from venation.studies.create import create_study
from venation.studies.data import load_split
from venation.studies.registry import open_study
from venation.studies.request import make_request
from venation.studies.resolve import build_spec


def test_a_study_knows_its_data_and_its_recipe_is_trial_0(harness: StudyHarness) -> None:
    handle = harness.create(trials=4, seed=9)
    spec = handle.spec
    assert spec.classes == ("cultivar_00", "cultivar_01", "cultivar_02")
    assert (spec.data, spec.trials, spec.split.seed, spec.config.train.seed) == (str(harness.data), 4, 9, 9)
    (first,) = handle.study.trials
    assert first.state == TrialState.WAITING
    assert first.system_attrs["fixed_params"] == spec.space.point(spec.config)
    assert handle.study.metric_names == ["accuracy"]


def test_trial_0_has_those_values_of_the_config_that_the_space_contains(harness: StudyHarness, tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("train.lr: [0.01, 0.02]\ngate: [none, meanmax]\n")
    partly = harness.create("partly", space=path, trials=2)
    assert [trial.system_attrs["fixed_params"] for trial in partly.study.trials] == [{"gate": "none"}]
    assert recipe_outside(partly.spec) == (
        "trial 0 is not the recipe itself: the space does not hold its train.lr=0.0005, and draws another value"
    )
    path.write_text("train.lr: [0.01, 0.02]\n")
    nothing = harness.create("nothing", space=path, trials=2)
    assert nothing.study.trials == [] and recipe_outside(nothing.spec) is not None
    assert recipe_outside(harness.create().spec) is None


def test_fixed_fields_leave_the_space(harness: StudyHarness) -> None:
    spec = harness.create(settings={"train.lr": "0.02", "gate": "none"}).spec
    assert (spec.config.train.lr, spec.config.gate) == (0.02, "none")
    assert {"train.lr", "gate"}.isdisjoint(dimension.name for dimension in spec.space.dimensions)


def test_the_same_spec_again_is_a_no_op(harness: StudyHarness) -> None:
    first, second = harness.create(), harness.create()
    assert first.id == second.id and len(second.study.trials) == 1


def test_another_spec_under_the_same_name_is_rejected_with_the_field(harness: StudyHarness) -> None:
    harness.create()
    changed = "config.train.epochs: 1 -> 2; sampler: tpe -> random"
    with pytest.raises(UserError, match=rf"`soy` exists with another spec \({changed}\); choose another name"):
        harness.create(sampler="random", settings={"train.epochs": 2})


def test_rungs_is_the_old_name_of_the_pruner_asha(harness: StudyHarness) -> None:
    options: dict[str, Any] = {"pruner": "asha", "settings": {"train.epochs": 9}}
    handle = harness.create(**options)
    assert handle.study.user_attrs[SPEC.key]["pruner"] == "asha"
    handle.study.set_user_attr(SPEC.key, handle.spec.model_dump(mode="json") | {"pruner": "rungs"})
    assert open_study(harness.storage, "soy").spec == handle.spec and handle.spec.rungs == (1, 3)
    for pruner in ("asha", "rungs"):
        assert harness.create(**options | {"pruner": pruner}).id == handle.id


def test_two_creators_at_once_make_one_study(harness: StudyHarness) -> None:
    given = {"name": "soy", "kind": "classifier", "data": harness.data, "settings": SETTINGS, "trials": 3}
    spec, prints = build_spec(harness.storage, make_request(given))
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda _: create_study(harness.storage, harness.artifacts, "soy", spec, prints), range(2)))
    assert sorted(new for _, new in made) == [False, True]
    assert len(made[0][0].study.trials) == 1


def test_an_interrupted_creation_is_completed(harness: StudyHarness) -> None:
    handle = harness.create()
    harness.sql(f"DELETE FROM study_user_attributes WHERE key = '{SPEC.key}'")
    again = harness.create()
    assert (again.id, len(again.study.trials)) == (handle.id, 1)


def test_a_study_of_another_program_is_left_alone(harness: StudyHarness) -> None:
    other = optuna.create_study(study_name="soy", storage=harness.storage, direction="maximize")
    other.add_trial(optuna.trial.create_trial(value=1.0))
    with pytest.raises(UserError, match="`soy` is the name of a study in this database that Venation did not create"):
        harness.create()
    assert SPEC.key not in other.user_attrs and len(other.trials) == 1


def test_a_timeout_alone_lifts_the_budget(harness: StudyHarness) -> None:
    assert harness.create("a", trials=None, timeout=60.0).spec.trials is None
    assert harness.create("b", trials=2, timeout=60.0).spec.trials == 2
    assert harness.create("c", trials=None).spec.trials == 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "regressor"}, "kind `regressor` does not exist; the kinds are: classifier, decoder, booster"),
        ({"preset": "resnet"}, "preset `resnet` does not exist; the presets are: default, xmnet, mnsa"),
        ({"objective": "iou"}, "objective `iou` does not fit a classifier study; choose from: accuracy, macro_f1"),
        ({"settings": {"train.epoch": 3}}, "`train.epoch` is not a config field; similar fields are: train.epochs"),
        ({"settings": {"train.epochs": 0}}, "`train.epochs` = 0: input should be greater than or equal to 1"),
        ({"settings": {"boost.eta": 0.1}}, r"`boost.eta` cannot be set in a classifier study; it sets encoder\.\*"),
        ({"base": "soy"}, "`--base soy` was given, but a classifier study freezes nothing"),
        ({"data": None}, "a classifier study needs `--data`"),
        ({"trials": 0}, "`trials` = 0: input should be greater than or equal to 1"),
        ({"seed": -1}, "`seed` = -1: input should be greater than or equal to 0"),
        ({"sampler": "grid"}, "`sampler` = 'grid'"),
        ({"kind": "decoder", "data": None}, "a decoder study needs `--base STUDY` or `--base STUDY:NUMBER`"),
        ({"kind": "booster", "base": "soy:best"}, "base `soy:best` is not understood"),
    ],
)
def test_misuse_is_one_line(harness: StudyHarness, options: dict[str, Any], message: str) -> None:
    given = {"name": "soy", "kind": "classifier", "data": harness.data} | options
    with pytest.raises(UsageError, match=message) as caught:
        build_spec(harness.storage, make_request(given))
    assert "\n" not in str(caught.value)


def test_the_papers_recipe_says_what_it_freezes_of_another_encoder(harness: StudyHarness) -> None:
    small = {"encoder.name": "test_resnet", "encoder.weights": "none", "data.size": 32}
    spec = harness.create(preset="xmnet", settings=small).spec
    assert frozen_children_notes(spec) == [
        "encoder.frozen_children=auto: 6 of the 8 children of test_resnet stay frozen"
        " (62,416 of 372,688 parameters; the papers' number)"
    ]
    with pytest.raises(UsageError, match="encoder.frozen_children=8 leaves nothing of test_resnet to train: set 6"):
        harness.create("whole", preset="xmnet", settings=small | {"encoder.frozen_children": 8})


def test_whole_images_need_a_network_of_any_size(harness: StudyHarness) -> None:
    small = {"encoder.weights": "none", "data.size": 32}
    harness.create(preset="mganet", settings=small | {"encoder.name": "test_resnet"})
    with pytest.raises(UsageError, match=r"data.fit=whole .* and test_vit .* takes only some: set data.fit=crop"):
        harness.create("tokens", preset="mganet", settings=small | {"encoder.name": "test_vit"})


def test_a_decoder_study_takes_data_split_and_seed_of_its_base(harness: StudyHarness) -> None:
    base = harness.create(seed=4, heartbeat=2.0).spec
    spec = harness.create("veins", "decoder", base="soy").spec
    assert (spec.data, spec.fingerprint, spec.split) == (base.data, base.fingerprint, base.split)
    assert (spec.seed, spec.config.train.seed, spec.heartbeat, spec.objective) == (4, 4, 2.0, "iou")


def test_the_encoder_of_a_decoder_study_comes_from_its_base(harness: StudyHarness) -> None:
    harness.create()
    with pytest.raises(UsageError, match="`encoder.name` cannot be set in a decoder study.*comes from its base"):
        harness.create("veins", "decoder", base="soy", settings={"encoder.name": "resnet18"})


def test_a_decoder_study_has_no_settings_of_the_head(harness: StudyHarness) -> None:
    harness.create()
    with pytest.raises(UsageError, match="train.mixup=0.2 is for the head.*: set train.mixup=0.0"):
        harness.create("veins", "decoder", base="soy", settings={"train.mixup": 0.2})
    harness.create("veins", "decoder", base="soy", settings={"train.ema": 0.9, "train.patience": 3})
    harness.create("known", settings={"encoder.name": "tf_efficientnet_lite0", "encoder.weights": "pretrained"})
    with pytest.raises(UsageError, match="train.head_start=probe is for the head.*: set train.head_start=random"):
        harness.create("auto", "decoder", base="known", settings={"train.head_start": "auto"})


def test_a_base_is_a_classifier_study_that_exists(harness: StudyHarness) -> None:
    harness.create()
    harness.create("veins", "decoder", base="soy")
    with pytest.raises(UsageError, match="base `veins` is a decoder study; a base is a classifier study"):
        harness.create("boost", "booster", base="veins")
    with pytest.raises(UserError, match="study `say` does not exist; the studies are: soy, veins"):
        harness.create("boost", "booster", base="say")


def test_a_base_that_can_bring_no_trial_is_refused(harness: StudyHarness) -> None:
    handle = harness.create(trials=2)
    harness.end_next(handle, TrialState.FAIL)
    harness.create("early", "decoder", base="soy")
    harness.end_next(handle, TrialState.FAIL)
    with pytest.raises(UserError, match="base study `soy` has ended without a finished trial"):
        harness.create("late", "decoder", base="soy")


def test_a_base_by_number_is_a_complete_trial(harness: StudyHarness) -> None:
    handle = harness.create(trials=3)
    harness.end_next(handle, TrialState.COMPLETE, 0.5, WEIGHTS)
    harness.end_next(handle, TrialState.PRUNED)
    assert harness.create("good", "decoder", base="soy:0").spec.base == "soy:0"
    with pytest.raises(UserError, match="base `soy:1` is PRUNED, and a base is a COMPLETE trial"):
        harness.create("bad", "decoder", base="soy:1")
    with pytest.raises(UserError, match="study `soy` has no trial 7; its trials are 0 to 1"):
        harness.create("bad", "decoder", base="soy:7")


def test_other_data_than_the_base_s_are_refused(harness: StudyHarness, tmp_path: Path) -> None:
    harness.create()
    other = shutil.copytree(harness.data, tmp_path / "other")
    assert harness.create("same", "booster", base="soy", data=other).spec.data == str(other)
    next((other / "images" / "cultivar_01").iterdir()).unlink()
    with pytest.raises(UserError, match="not those of the base study .* whose test split must stay sealed"):
        harness.create("boost", "booster", base="soy", data=other)


def test_a_decoder_needs_masks(harness: StudyHarness, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(harness.data / "images", bare / "images")
    harness.create(data=bare)
    with pytest.raises(UserError, match="has no masks in its train split, and a decoder learns from them"):
        harness.create("veins", "decoder", base="soy")
    with pytest.raises(UserError, match="no masks in its train split, and a gate with train.mask_weight > 0"):
        harness.create("guided", data=bare, settings={"train.mask_weight": 0.1})


def test_files_in_masks_that_are_not_used_are_named(harness: StudyHarness, tmp_path: Path) -> None:
    some = tmp_path / "some"
    shutil.copytree(harness.data, some)
    for mask in (some / "masks").rglob("*.png"):
        mask.rename(mask.with_suffix(".npy"))
    harness.create(data=some)
    unused = sorted((some / "masks").rglob("*.npy"))
    first = unused[0].relative_to(some).as_posix()
    with pytest.raises(
        UserError, match=f"; {len(unused)} files in masks/ are not used \\(`{first}` .*: save each as masks/"
    ):
        harness.create("veins", "decoder", base="soy")


def test_gif_masks_train_a_decoder(harness: StudyHarness, tmp_path: Path) -> None:
    some = tmp_path / "some"
    shutil.copytree(harness.data, some)
    for mask in (some / "masks").rglob("*.png"):
        with Image.open(mask) as image:
            image.save(mask.with_suffix(".gif"))
        mask.unlink()
    harness.create(data=some)
    assert harness.create("veins", "decoder", base="soy").spec.kind == "decoder"


def test_a_decoder_is_also_chosen_by_masks(harness: StudyHarness, tmp_path: Path) -> None:
    some = tmp_path / "some"
    shutil.copytree(harness.data, some)
    manifest, _ = load_split(some, SplitConfig())
    for sample in manifest.split("val"):
        assert sample.mask is not None
        sample.mask.unlink()
    harness.create(data=some)
    with pytest.raises(UserError, match="has no masks in its val split"):
        harness.create("veins", "decoder", base="soy")


@pytest.mark.parametrize("name", ["a:b", "a b", "../a", "a\nb", "", "a" * 101])
def test_a_name_that_cannot_be_a_base_or_a_file_is_rejected(harness: StudyHarness, name: str) -> None:
    with pytest.raises(UsageError, match="study name .* does not fit"):
        harness.create(name)


@pytest.mark.parametrize("settings", [{"train.seed": 3}, {"train.seed": "3"}])
def test_the_seed_of_training_is_the_study_s(harness: StudyHarness, settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="`train.seed` follows the study's seed"):
        harness.create(settings=settings)


def test_a_seed_beyond_64_bits_is_refused_at_once(harness: StudyHarness) -> None:
    with pytest.raises(UsageError, match="seed.*less than"):
        harness.create(seed=2**63)


@pytest.fixture
def bands(harness: StudyHarness, tmp_path: Path) -> Path:
    """Return the harness's images as arrays of five channels, without their masks."""
    for image in sorted((harness.data / "images").rglob("*.png")):
        (tmp_path / "bands" / image.parent.name).mkdir(parents=True, exist_ok=True)
        rgb = np.asarray(Image.open(image).convert("RGB"))
        np.save(tmp_path / "bands" / image.parent.name / f"{image.stem}.npy", np.dstack([rgb, rgb])[..., :5])
    return tmp_path / "bands"


def test_a_study_has_the_channels_of_its_images(harness: StudyHarness, bands: Path, tmp_path: Path) -> None:
    handle = harness.create("five", data=bands)
    assert handle.spec.config.data.channels == 5 and harness.create("rgb").spec.config.data.channels == 3
    assert handle.study.user_attrs[SPEC.key]["config"]["data"]["channels"] == 5
    assert harness.work(handle) == 1 and handle.study.trials[0].state == TrialState.COMPLETE
    with pytest.raises(UsageError, match=r"`data.channels` cannot be set in a decoder study: it is the number that"):
        harness.create("veins", "decoder", base="five", settings={"data.channels": 4})
    with pytest.raises(DataError, match=r"\.npy has 5 channels, and data.channels asks for 4: all images"):
        harness.create("four", data=bands, settings={"data.channels": 4})
    (tmp_path / "space.yaml").write_text("data.channels: [3, 5]\n")
    with pytest.raises(UsageError, match=r"`data.channels` cannot be searched: it is the number of the images'"):
        harness.create("space", data=bands, space=tmp_path / "space.yaml")


def test_a_decoder_sees_the_channels_of_its_base(harness: StudyHarness, bands: Path) -> None:
    shutil.copytree(harness.data / "masks", bands / "masks")
    base = harness.create("five", data=bands)
    decoder = {"decoder.kind": "unet", "decoder.channels": 4, "decoder.detail": 0, "train.epochs": 1}
    veins = harness.create("veins", "decoder", base="five", settings=decoder)
    assert veins.spec.on_base(base.spec.config).data.channels == 5
    assert harness.work(base, veins) == 2
    assert [trial.state for trial in veins.study.trials] == [TrialState.COMPLETE]


def test_an_image_with_other_channels_is_named_at_creation(harness: StudyHarness, bands: Path) -> None:
    Image.new("RGB", (32, 32)).save(bands / "cultivar_01" / "colours.png")
    with pytest.raises(DataError, match=r"cultivar_01/colours.png has 3 channels, and others have 5: all images of"):
        harness.create("five", data=bands)


def test_a_study_of_an_earlier_version_has_three_channels(harness: StudyHarness) -> None:
    handle = harness.create()
    stored = handle.study.user_attrs[SPEC.key]
    del stored["config"]["data"]["channels"]
    handle.study.set_user_attr(SPEC.key, stored)
    assert open_study(harness.storage, "soy").spec == handle.spec
