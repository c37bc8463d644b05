"""The MGANet layout: labels by number and by name, and every malformed data set refused."""

import pickle

import numpy as np
import pytest
from layout_helpers import SIZE, assert_refused, count_splits_and_labels, put_labels, samples_by_key, square_mask

from venation.data.check import check_data
from venation.data.images import read_mask
from venation.data.importers import import_data
from venation.data.manifest import load_manifest
from venation.data.splits import assign_splits


def test_mganet_numbered(soy, out):
    assert import_data("mganet", soy, out) == out / "manifest.csv"
    manifest = load_manifest(out)
    assert manifest.classes == tuple(f"{label:02d}" for label in range(1, 13))
    assert count_splits_and_labels(out) == {
        (split, label): n for label in manifest.classes for split, n in (("train", 4), ("test", 2))
    }
    sample = samples_by_key(out)["images/train/007.png"]
    # The label of the layout is 1-based: 7 // 6 + 1.
    assert sample.label == "02" and manifest.label_index(sample) == 1
    assert sample.mask == out / "masks/train/007.png"
    assert np.array_equal(read_mask(sample.mask, SIZE), square_mask(7))
    assert sample.image.read_bytes() == (soy / "train/007.png").read_bytes()
    assert not [path for path in out.rglob("*") if path.is_symlink()]
    assert check_data(out) == []
    divided = assign_splits(manifest, seed=0)
    assert len(divided.split("test")) == 24 and {sample.label for sample in divided.split("val")} == set(
        manifest.classes
    )
    assert not {i.image for i in divided.split("test")} ^ {i.image for i in manifest.split("test")}


def test_mganet_named(tmp_path, save, out):
    labels = {}
    for number in range(9):
        name = f"wing_{number}.png"
        save(f"btf/{'train' if number % 3 else 'test'}/{name}", size=SIZE)
        save(f"btf/l2_mask/{name}", square_mask(number))
        labels[name] = number // 3 + 1
    jpeg = np.where(square_mask(4) > 0, 255, 0).astype(np.uint8)
    save("btf/train/wing_9.jpg", size=SIZE)
    save("btf/l2_mask/wing_9.jpg", jpeg, quality=60)
    labels["wing_9.jpg"] = 1
    (tmp_path / "btf" / "labels.pkl").write_bytes(pickle.dumps(labels, protocol=0))
    (tmp_path / "btf" / "l2_mask" / "wing_1.png").unlink()
    import_data("mganet", tmp_path / "btf", out)
    samples = samples_by_key(out)
    assert samples["images/test/wing_3.png"].label == "2" and samples["images/train/wing_1.png"].mask is None
    assert np.array_equal(read_mask(samples["images/test/wing_3.png"].mask, SIZE), square_mask(3))
    blurred = samples["images/train/wing_9.jpg"].mask
    assert blurred.name == "wing_9.png" and np.array_equal(read_mask(blurred, SIZE), square_mask(4))


def test_malformed_mganet_sets_are_refused(soy, save):
    labels = pickle.loads((soy / "labels.pkl").read_bytes())
    put_labels(soy, {key: value for key, value in labels.items() if key >= 5})
    assert_refused(soy, "mganet", r"no label for train/000.png, train/001.png, train/002.png, \.\.\. \(5 in all\)")
    put_labels(soy, labels | {900: 1})
    assert_refused(soy, "mganet", "labels 900, but train/ and test/ have no such image")
    put_labels(soy, labels)
    save("soy/test/7.png", size=SIZE)
    assert_refused(soy, "mganet", "train/007.png and test/7.png are both 7 in")
    (soy / "test" / "7.png").rename(soy / "test" / "x7.png")
    assert_refused(soy, "mganet", "x7.png is not named by a number")
    (soy / "test" / "x7.png").unlink()
    (soy / "l2_mask").rename(soy / "l3_mask")
    assert_refused(soy, "mganet", "no folder l2_mask/")
    (soy / "l2_mask").mkdir()
    assert_refused(soy, "mganet", "has the name of an image's mask")
    (soy / "labels.pkl").unlink()
    assert_refused(soy, "mganet", "no labels.pkl")


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ({}, "an empty dict"),
        ([1, 2], "a list"),
        ({1: 1, "1": 1}, "keys of int and str"),
        ({True: 1}, "keys of bool"),
        ({1: True, 2: 1}, "not class numbers, for 1:"),
        ({1: 2.0}, "not class numbers"),
        ({1: "2"}, "not class numbers"),
        ({1: -1}, "not class numbers"),
        ({1: [1]}, "not class numbers"),
        ({(1,): 1}, "holds tuple1, and only"),
        ({b"1": 1}, "only dicts, lists, numbers and strings|asks for _codecs.encode"),
        ({1: np.int64(3)}, r"asks for numpy\S*\.\w+, and only plain numbers.*no numpy"),
        ({1: np.arange(3)}, r"asks for numpy"),
        ({1: {2}}, "holds empty_set"),
    ],
)
def test_malformed_labels_are_refused(soy, value, match):
    put_labels(soy, value)
    assert_refused(soy, "mganet", match)
