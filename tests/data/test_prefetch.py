"""Prefetching: the next batch, and no other, is decoded while the current one is in use."""

import threading

import pytest
import torch

from venation.data.data_config import DataConfig
from venation.data.dataset import LeafDataset, default_cache_bytes
from venation.data.loader import make_loader
from venation.data.manifest import load_manifest
from venation.data.prefetch import decode_ahead
from venation.errors import DataError, UsageError

BATCHES = [[4, 1], [0, 5], [3], [2, 6]]


def not_cached(index):
    return None


def test_batches_come_in_order_and_cached_images_are_not_decoded():
    decoded = []

    def decode(index):
        decoded.append(index)
        return f"decoded {index}"

    cached = {1: "cached 1", 3: "cached 3"}
    found = list(decode_ahead(BATCHES, cached=cached.get, decode=decode))
    assert found == [[cached.get(index, f"decoded {index}") for index in indices] for indices in BATCHES]
    assert sorted(decoded) == [0, 2, 4, 5, 6]
    assert list(decode_ahead([], cached=not_cached, decode=decode)) == []


def test_only_the_next_batch_is_decoded_ahead():
    decoded = {index: threading.Event() for indices in BATCHES for index in indices}

    def decode(index):
        decoded[index].set()
        return index

    batches = decode_ahead(BATCHES, cached=not_cached, decode=decode)
    assert next(batches) == [4, 1]
    assert all(decoded[index].wait(timeout=30) for index in BATCHES[1])
    assert not any(decoded[index].is_set() for indices in BATCHES[2:] for index in indices)
    assert next(batches) == [0, 5]
    assert decoded[3].wait(timeout=30) and not decoded[2].is_set()


def test_a_decoding_error_is_raised_with_its_batch():
    def decode(index):
        if index == 5:
            raise DataError("5 is damaged")
        return index

    batches = decode_ahead(BATCHES, cached=not_cached, decode=decode)
    assert next(batches) == [4, 1]
    with pytest.raises(DataError, match="5 is damaged"):
        next(batches)


def test_closing_a_loader_early_leaves_no_thread(leaves):
    before = threading.active_count()
    manifest = load_manifest(leaves)
    data = LeafDataset(manifest.samples, manifest.classes, DataConfig(size=16), train=False, cache_bytes=0)
    batches = iter(make_loader(data, batch_size=4, train=False, seed=0))
    next(batches)
    assert threading.active_count() > before
    batches.close()
    assert threading.active_count() == before


def test_cached_images_need_no_threads(leaves):
    manifest = load_manifest(leaves)
    data = LeafDataset(manifest.samples, manifest.classes, DataConfig(size=16), train=False)
    loader = make_loader(data, batch_size=4, train=False, seed=0)
    first = list(loader)
    before = threading.active_count()
    for batch, again in zip(first, loader, strict=True):
        assert threading.active_count() == before
        assert torch.equal(batch.image_BCHW, again.image_BCHW)


def test_the_environment_sets_the_size_of_the_cache(leaves, monkeypatch):
    monkeypatch.delenv("VENATION_CACHE_GIB", raising=False)
    assert default_cache_bytes() == 2 * 1024**3
    monkeypatch.setenv("VENATION_CACHE_GIB", str(5.5 * 4 * 16 * 16 / 1024**3))
    manifest = load_manifest(leaves)
    data = LeafDataset(manifest.samples, manifest.classes, DataConfig(size=16), train=False)
    list(make_loader(data, batch_size=4, train=False, seed=0))
    assert data.cached_bytes == 5 * 4 * 16 * 16


@pytest.mark.parametrize("given", ["much", "-1", "nan", "inf", "2GiB"])
def test_an_invalid_cache_size_is_refused(leaves, monkeypatch, given):
    monkeypatch.setenv("VENATION_CACHE_GIB", given)
    manifest = load_manifest(leaves)
    with pytest.raises(UsageError, match=f"VENATION_CACHE_GIB={given} is not a number of GiB: give one from 0 on"):
        LeafDataset(manifest.samples, manifest.classes, DataConfig(size=16), train=False)
