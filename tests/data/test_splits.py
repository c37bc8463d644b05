"""Splits are stratified, grouped and seeded: checked by counting, also on random data sets."""

from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from venation.data.manifest import Manifest, Sample, load_manifest
from venation.data.splits import assign_splits
from venation.errors import DataError, UsageError

ROOT = Path("/set")


def make(rows):
    """Return a manifest of (label, group or None, split or None) rows."""
    samples = []
    for number, (label, group, split) in enumerate(rows):
        image = ROOT / f"{number:04}.png"
        samples.append(Sample(image, label, None, group or image.name, split))
    return Manifest(ROOT, tuple(samples), tuple(sorted({sample.label for sample in samples})))


def plain(**classes):
    return make([(label, None, None) for label, number in classes.items() for _ in range(number)])


def counts(manifest):
    return {
        label: tuple(
            Counter(i.split for i in manifest.samples if i.label == label)[s] for s in ("train", "val", "test")
        )
        for label in manifest.classes
    }


def test_every_class_gets_its_shares():
    assert counts(assign_splits(plain(a=10, b=20, c=5, d=3), seed=0)) == {
        "a": (6, 2, 2),
        "b": (12, 4, 4),
        "c": (3, 1, 1),
        "d": (1, 1, 1),
    }


def test_rounding_evens_out_over_classes():
    manifest = assign_splits(plain(**{f"c{n:02}": 8 for n in range(30)}), seed=1)
    sizes = [len(manifest.split(split)) for split in ("train", "val", "test")]
    assert sum(sizes) == 240 and abs(sizes[1] - sizes[2]) <= 1
    assert all(min(row) >= 1 for row in counts(manifest).values())


def test_the_result_depends_on_the_seed_but_not_on_the_order_of_samples():
    manifest = plain(a=20, b=20)
    backwards = replace(manifest, samples=manifest.samples[::-1])
    first = {sample.image: sample.split for sample in assign_splits(manifest, seed=3).samples}
    assert first == {sample.image: sample.split for sample in assign_splits(backwards, seed=3).samples}
    assert first != {sample.image: sample.split for sample in assign_splits(manifest, seed=4).samples}


def test_a_known_assignment_is_stable():
    splits = [sample.split for sample in assign_splits(plain(a=5, b=5), seed=0).samples]
    # A worker of another version must split a study's data like the version that created the study.
    assert " ".join(splits) == "train val train train test train test val train train"


@pytest.mark.parametrize("seed", range(20))
def test_random_groups_stay_whole_and_classes_reach_every_split(seed):
    random = np.random.default_rng(seed)
    rows = []
    for label in "abcde":
        for group in range(random.integers(3, 12)):
            rows += [(label, f"{label}{group}", None)] * int(random.integers(1, 9))
    manifest = assign_splits(make(rows), seed=seed)
    splits_of = defaultdict(set)
    for sample in manifest.samples:
        splits_of[sample.group].add(sample.split)
    assert all(len(splits) == 1 for splits in splits_of.values())
    assert all(min(row) >= 1 for row in counts(manifest).values())


def test_big_groups_stay_near_the_shares():
    rows = [("ab"[n % 2], f"g{n}", None) for n in range(40) for _ in range(5 + n % 3)]
    manifest = assign_splits(make(rows), seed=0)
    assert len(manifest.split("train")) / len(rows) == pytest.approx(0.6, abs=0.04)
    assert len(manifest.split("val")) / len(rows) == pytest.approx(0.2, abs=0.03)


def test_groups_of_several_classes():
    rows = [(label, f"plant{n}", None) for n in range(12) for label in "abc"]
    manifest = assign_splits(make(rows), seed=0)
    assert len({(sample.group, sample.split) for sample in manifest.samples}) == 12
    assert all(min(row) >= 1 for row in counts(manifest).values())


def test_two_groups_keep_one_in_train():
    row = counts(assign_splits(plain(a=2, b=10), seed=0))["a"]
    assert row[0] == 1 and sum(row) == 2


def test_given_splits_are_kept():
    rows = [(label, None, split) for label in "ab" for split in ("train", "train", "val", "test")]
    manifest = make(rows)
    assert assign_splits(manifest, seed=0) == manifest


def test_a_missing_val_split_is_taken_from_train():
    rows = [(label, None, split) for label in "ab" for split in ["train"] * 10 + ["test"] * 5]
    before = make(rows)
    after = assign_splits(before, seed=0)
    assert counts(after) == {"a": (8, 2, 5), "b": (8, 2, 5)}
    assert {i.image for i in after.split("test")} == {i.image for i in before.split("test")}


def test_samples_without_a_split_are_divided_and_follow_their_group():
    rows = [(label, None, None) for label in "ab" for _ in range(10)] + [("a", "g", "test"), ("a", "g", None)]
    after = assign_splits(make(rows), seed=0)
    assert len(after.split("test")) == 2 and {sample.group for sample in after.split("test")} == {"g"}
    assert len(after.split("val")) == 4


def test_no_test_split_if_its_share_is_zero():
    manifest = assign_splits(plain(a=10, b=10), seed=0, test=0.0)
    assert counts(manifest) == {"a": (8, 2, 0), "b": (8, 2, 0)}


@pytest.mark.parametrize(("val", "test"), [(-0.1, 0.2), (0.5, 0.5), (0.2, 1.0)])
def test_impossible_shares_are_refused(val, test):
    with pytest.raises(UsageError, match="leave nothing to train on"):
        assign_splits(plain(a=9, b=9), seed=0, val=val, test=test)


def test_a_class_with_one_group_is_refused():
    with pytest.raises(
        DataError, match=r"class 'b' has 1 image in 1 group and needs at least 3 .*: add some or remove"
    ):
        assign_splits(plain(a=9, b=1), seed=0)
    with pytest.raises(DataError, match="class 'b' has 5 images in 1 group"):
        assign_splits(make([("a", None, None)] * 9 + [("b", "g", None)] * 5), seed=0)


def test_a_group_in_two_given_splits_is_refused():
    with pytest.raises(DataError, match="group 'g' is in train and test: a group belongs to one split"):
        assign_splits(make([("a", "g", "train"), ("a", "g", "test"), ("b", None, "train")]), seed=0)


def test_a_class_without_training_images_is_refused():
    rows = [("a", None, "train")] * 5 + [("b", None, "test")] * 5
    with pytest.raises(DataError, match="class 'b' has no image to train on"):
        assign_splits(make(rows), seed=0)


def test_an_empty_split_is_refused():
    with pytest.raises(DataError, match="the val split is empty"):
        assign_splits(make([("a", None, "train"), ("b", None, "train"), ("a", None, "test")]), seed=0)


def test_real_eyes_stay_together(real_data):
    manifest = assign_splits(load_manifest(real_data("hrf_vessels")), seed=0)
    assert len({(sample.group, sample.split) for sample in manifest.samples}) == 20
    assert all(min(row) >= 6 for row in counts(manifest).values())


def test_real_leaves_reach_every_split(real_data):
    manifest = assign_splits(load_manifest(real_data("uci_leaf")), seed=0)
    assert all(min(row) >= 1 for row in counts(manifest).values())
    assert len(manifest.split("test")) / 340 == pytest.approx(0.2, abs=0.03)
