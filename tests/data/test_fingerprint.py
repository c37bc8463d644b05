"""A digest changes with the sample's files, label, split or group, and with nothing else."""

from dataclasses import replace

import pytest

from venation.data.fingerprint import differences, digests, fingerprint
from venation.data.manifest import load_manifest
from venation.errors import DataError


def test_a_moved_data_set_has_the_same_fingerprint(leaves):
    before = digests(load_manifest(leaves))
    moved = leaves.rename(leaves.with_name("elsewhere"))
    after = digests(load_manifest(moved))
    assert before == after and len(before) == 18
    assert fingerprint(before) == fingerprint(dict(reversed(after.items())))
    assert differences(before, after) == []


@pytest.mark.parametrize("folder", ["images", "masks"])
def test_a_changed_byte_is_named(leaves, folder):
    before = digests(load_manifest(leaves))
    path = leaves / folder / "elm" / "2.png"
    path.write_bytes(path.read_bytes() + b"\0")
    after = digests(load_manifest(leaves))
    assert differences(after, before) == ["changed: images/elm/2.png"]
    assert fingerprint(after) != fingerprint(before)


@pytest.mark.parametrize("change", [{"label": "fir"}, {"split": "test"}, {"group": "g"}, {"mask": None}])
def test_every_field_counts(leaves, change):
    manifest = load_manifest(leaves)
    samples = (replace(manifest.samples[0], **change), *manifest.samples[1:])
    changed = differences(digests(replace(manifest, samples=samples)), digests(manifest))
    assert changed == ["changed: images/ash/0.png"]


def test_missing_extra_and_changed_images_are_listed():
    assert differences({"a": "1", "b": "1"}, {"b": "2", "c": "1"}) == ["missing: c", "extra: a", "changed: b"]
    assert fingerprint({"a": "1"}) != fingerprint({"a1": ""})


def test_an_unreadable_file_is_named(leaves):
    manifest = load_manifest(leaves)
    manifest.samples[3].image.unlink()
    with pytest.raises(DataError, match="3.png cannot be read"):
        digests(manifest)
