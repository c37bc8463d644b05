"""Any change of a file, label, split or group changes its digest, and nothing else does."""

from dataclasses import replace

import pytest

from venation.data.fingerprint import differences, digests, fingerprint
from venation.data.manifest import load_manifest
from venation.errors import DataError


def test_same_data_elsewhere_is_the_same(leaves):
    before = digests(load_manifest(leaves))
    moved = leaves.rename(leaves.with_name("elsewhere"))
    after = digests(load_manifest(moved))
    assert before == after and len(before) == 18
    assert fingerprint(before) == fingerprint(dict(reversed(after.items())))
    assert differences(before, after) == []


@pytest.mark.parametrize("part", ["images", "masks"])
def test_a_changed_byte_is_named(leaves, part):
    before = digests(load_manifest(leaves))
    path = leaves / part / "elm" / "2.png"
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


def test_missing_and_extra_are_named_from_my_side():
    assert differences({"a": "1", "b": "1"}, {"b": "2", "c": "1"}) == ["missing: c", "extra: a", "changed: b"]
    assert fingerprint({"a": "1"}) != fingerprint({"a1": ""})


def test_a_file_that_went_away(leaves):
    manifest = load_manifest(leaves)
    manifest.samples[3].image.unlink()
    with pytest.raises(DataError, match="3.png cannot be read"):
        digests(manifest)
