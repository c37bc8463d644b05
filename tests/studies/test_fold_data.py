"""The folds of a study's images: every image held out once, groups whole, the test split sealed."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from study_helpers import SETTINGS, StudyHarness

from venation.data.manifest import Manifest, Sample
from venation.errors import DataError, UsageError, UserError
from venation.search.spec import StudySpec
from venation.studies.fold_data import check_folds, fold_manifests
from venation.trials.kinds import Kind


def grouped(*, masks: int = 99) -> Manifest:
    """Make two classes of 8 groups of 3 images; the last 2 groups of each are the test split."""
    samples = []
    for label in "ab":
        for number in range(24):
            group = number // 3
            split = "test" if group > 5 else "val" if group == 5 else "train"
            mask = Path("m.png") if number < masks else None
            samples.append(Sample(Path(f"{label}{number:02}.png"), label, mask, f"{label}{group}", split))
    return Manifest(Path(), tuple(samples), ("a", "b"))


def test_every_image_but_the_sealed_ones_is_held_out_once() -> None:
    manifest = grouped()
    folds = fold_manifests(manifest, folds=3, seed=1)
    assert fold_manifests(manifest, folds=3, seed=1) == folds != fold_manifests(manifest, folds=3, seed=2)
    held_out = Counter(sample.image for fold in folds for sample in fold.split("val"))
    assert held_out == Counter(sample.image for sample in manifest.samples if sample.split != "test")
    for fold in folds:
        assert fold.split("test") == manifest.split("test")
        groups = [{sample.group for sample in fold.split(split)} for split in ("train", "val", "test")]
        assert not groups[0] & groups[1] and not groups[2] & (groups[0] | groups[1])
        assert Counter(sample.label for sample in fold.split("val")) == {"a": 6, "b": 6}
        assert [sample.image for sample in fold.samples] == [sample.image for sample in manifest.samples]
    assert fold_manifests(manifest, folds=0, seed=1) == ()


def test_folds_that_cannot_be_made_are_refused_in_one_line() -> None:
    with pytest.raises(UsageError, match="--folds 9 is more than the groups of any class .*: give 6 or fewer"):
        check_folds(Kind.CLASSIFIER, grouped(), folds=9, seed=0)
    check_folds(Kind.DECODER, grouped(), folds=6, seed=0)
    check_folds(Kind.CLASSIFIER, grouped(masks=3), folds=6, seed=0)
    with pytest.raises(DataError, match=r"fold \d has no masks to score: add masks, or give fewer folds"):
        check_folds(Kind.DECODER, grouped(masks=3), folds=6, seed=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pruner": "asha", "settings": {"train.epochs": 9}}, "pruner asha compares epochs, .* take wilcoxon, median"),
        ({"pruner": "hyperband"}, "pruner hyperband compares epochs"),
        ({"folds": 1}, "one fold leaves no image to train on; give folds=2 or more, or 0"),
        ({"folds": 40}, "--folds 40 is more than the groups of any class"),
    ],
)
def test_options_that_exclude_folds(harness: StudyHarness, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        harness.create(**({"folds": 3} | options))
    assert "\n" not in str(caught.value)


def test_the_pruners_of_folds_and_the_base_with_folds(harness: StudyHarness) -> None:
    spec = harness.create(folds=3, pruner=None).spec
    assert (spec.folds, spec.pruner) == (3, "wilcoxon")
    assert harness.create("two", folds=3, pruner=None, objective=["accuracy", "macs"]).spec.pruner == "none"
    old = spec.model_dump(mode="json") | {"pruner": "none"}
    del old["folds"]
    assert StudySpec.model_validate(old).folds == 0, "a spec from before there were folds"
    for kind in ("decoder", "booster"):
        with pytest.raises(UserError, match="base `soy` has folds: its trials are 3 networks each, and a base is one"):
            harness.create("next", kind, base="soy")
    harness.create("plain")
    with pytest.raises(UsageError, match="a booster study has folds of its own: set boost.folds=3"):
        harness.create("boost", "booster", base="plain", folds=3)
    with pytest.raises(UsageError, match="search oneshot ranks on one split"):
        harness.create("shot", "decoder", base="plain", preset="mnsa", search="oneshot", trials=9, folds=3)
    assert SETTINGS
