"""Batches are a pure function of (seed, epoch, index), cached or not, with every sample once."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from venation.data.data_config import DataConfig
from venation.data.dataset import Batch, LeafDataset
from venation.data.images import read_image
from venation.data.loader import make_loader
from venation.data.manifest import load_manifest
from venation.data.transforms import eval_image
from venation.errors import DataError

RANDOM = DataConfig(
    size=16, min_area=0.5, hflip=0.5, vflip=0.5, rotate=30.0, colour=0.3, erase=0.5, blur=0.3, sharpen=0.3
)


@pytest.fixture
def manifest(leaves):
    return load_manifest(leaves)


def dataset(manifest, config=RANDOM, *, train=True, **options):
    return LeafDataset(manifest.samples, manifest.classes, config, train=train, **options)


def epoch(loader, number):
    loader.set_epoch(number)
    return list(loader)


def same(left, right):
    return all(torch.equal(x, y) for a, b in zip(left, right, strict=True) for x, y in zip(a, b, strict=True))


def test_batches_match_the_manifest(manifest, leaves):
    manifest.samples[4].mask.unlink()
    manifest = load_manifest(leaves)
    config = DataConfig(size=16)
    (batch,) = make_loader(dataset(manifest, config, train=False), batch_size=18, train=False, seed=0)
    assert isinstance(batch, Batch)
    assert batch.image_BCHW.shape == (18, 3, 16, 16) and batch.image_BCHW.dtype == torch.float32
    assert batch.mask_B1HW.shape == (18, 1, 16, 16) and batch.mask_B1HW.dtype == torch.float32
    assert batch.label_B.tolist() == [0] * 6 + [1] * 6 + [2] * 6 and batch.label_B.dtype == torch.int64
    assert batch.has_mask_B.tolist() == [index != 4 for index in range(18)] and batch.has_mask_B.dtype == torch.bool
    assert batch.mask_B1HW[4].sum() == 0 and batch.mask_B1HW[3].sum() > 0
    for sample, image_CHW in zip(manifest.samples, batch.image_BCHW, strict=True):
        assert torch.equal(image_CHW, eval_image(read_image(sample.image), config))


@pytest.mark.parametrize(
    ("options", "cached_HW"),
    [
        ({"size": "16x28"}, (16, 28)),
        ({"size": "16x28", "zoom": 1.5}, (24, 42)),
        ({"size": "28x16", "fit": "pad", "rotate": 30.0}, (28, 16)),
        ({"size": "16x28", "fit": "crop"}, (10, 12)),
        ({"size": "16x28", "min_area": 0.64, "blur": 0.5, "sharpen": 0.5}, (20, 35)),
    ],
    ids=str,
)
def test_batches_have_the_configured_height_and_width(manifest, options, cached_HW):
    config = DataConfig(**options)
    for train in (True, False):
        leaves = dataset(manifest, config, train=train)
        (batch,) = make_loader(leaves, batch_size=18, train=train, seed=0)
        assert batch.image_BCHW.shape == (18, 3, *config.size_HW) and batch.mask_B1HW.shape == (18, 1, *config.size_HW)
        assert not train or leaves.cached_bytes == 18 * 4 * cached_HW[0] * cached_HW[1]


def test_a_resumed_epoch_is_the_same_bit_by_bit(manifest):
    loader = make_loader(dataset(manifest), batch_size=4, train=True, seed=5)
    epochs = [epoch(loader, number) for number in range(3)]
    torch.manual_seed(99)
    again = epoch(make_loader(dataset(manifest), batch_size=4, train=True, seed=5), 2)
    assert same(again, epochs[2])
    assert not same(epochs[0], epochs[1])
    assert not same(again, epoch(make_loader(dataset(manifest), batch_size=4, train=True, seed=6), 2))


def test_the_cache_changes_no_batch_and_respects_its_limit(manifest):
    half = dataset(manifest, cache_bytes=9 * 4 * 23 * 23 + 5)
    none = dataset(manifest, cache_bytes=0)
    for number in range(2):
        batches = [epoch(make_loader(data, batch_size=5, train=True, seed=0), number) for data in (half, none)]
        assert same(*batches)
    assert half.cached_bytes == 9 * 4 * 23 * 23 and none.cached_bytes == 0


def test_a_cached_image_is_neither_read_again_nor_changed(manifest):
    data = dataset(manifest)
    loader = make_loader(data, batch_size=6, train=True, seed=0)
    before = epoch(loader, 0)
    for sample in manifest.samples:
        sample.image.unlink()
    assert same(epoch(loader, 0), before)


def test_every_sample_once_an_epoch_in_a_new_order(manifest):
    samples = tuple(replace(sample, label=str(n)) for n, sample in enumerate(manifest.samples))
    data = LeafDataset(samples, [str(n) for n in range(18)], DataConfig(size=16), train=True)
    loader = make_loader(data, batch_size=4, train=True, seed=0)
    orders = [torch.cat([batch.label_B for batch in epoch(loader, number)]).tolist() for number in range(2)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(18)) and orders[0] != orders[1] != list(range(18))
    still = make_loader(data, batch_size=4, train=False, seed=0)
    assert torch.cat([batch.label_B for batch in still]).tolist() == list(range(18))


def test_balanced_epochs_draw_every_class_equally_and_resume(manifest):
    """Two of three classes lose most of their images; repeated images change in another way."""
    kept = [sample for n, sample in enumerate(manifest.samples) if n < 6 or n % 6 < 2]
    data = LeafDataset(kept, manifest.classes, RANDOM, train=True)
    loader = make_loader(data, batch_size=4, train=True, seed=0, balanced=True)
    first = epoch(loader, 0)
    labels = torch.cat([batch.label_B for batch in first])
    assert sorted(labels.bincount().tolist()) == [3, 3, 4] and len(kept) == 10
    images = torch.cat([batch.image_BCHW for batch in first])
    assert len(images.flatten(1).unique(dim=0)) == 10
    assert not same(first, epoch(loader, 1)) and same(first, epoch(loader, 0))


@pytest.mark.parametrize(
    ("number", "batch_size", "train", "sizes"),
    [
        (18, 8, True, [8, 8, 2]),
        (17, 8, True, [8, 9]),
        (17, 8, False, [8, 8, 1]),
        (1, 8, True, [1]),
        (3, 1, True, [1, 1, 1]),
        (0, 4, False, []),
    ],
)
def test_batch_sizes(manifest, number, batch_size, train, sizes):
    data = LeafDataset(manifest.samples[:number], manifest.classes, DataConfig(size=16), train=train)
    loader = make_loader(data, batch_size=batch_size, train=train, seed=0)
    assert [len(batch.label_B) for batch in loader] == sizes
    assert len(loader) == len(sizes)


def test_torchs_global_generator_is_unchanged(manifest):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    epoch(make_loader(dataset(manifest), batch_size=4, train=True, seed=0), 0)
    assert torch.equal(torch.rand(3), expected)


def test_plain_indexing(manifest):
    data = dataset(manifest, train=False)
    assert len(data) == len(list(data)) == 18
    assert data[17].label == 2 and data[17].has_mask
    with pytest.raises(IndexError, match="index 18 of 18"):
        data[18]


def test_blank_keeps_only_pixels_inside_the_mask(manifest, leaves):
    config = DataConfig(size=16)
    plain, blank = dataset(manifest, config, train=False)[0], dataset(manifest, config, train=False, blank=True)[0]
    covered = plain.mask_1HW.bool().expand(3, -1, -1)
    assert torch.equal(blank.image_CHW[covered], plain.image_CHW[covered])
    assert blank.image_CHW[~covered].abs().max() < 0.02 < plain.image_CHW[~covered].abs().max()
    manifest.samples[0].mask.unlink()
    with pytest.raises(DataError, match="ash/0.png and 0 more have no mask to blank the background by"):
        dataset(load_manifest(leaves), train=False, blank=True)


def test_random_blanking_applies_in_training_to_images_with_a_mask(manifest):
    config = DataConfig(size=16, hflip=0.0, blank=1.0)
    plain = dataset(manifest, DataConfig(size=16), train=False)
    blank = dataset(manifest, DataConfig(size=16), train=False, blank=True)
    assert torch.equal(dataset(manifest, config)[0].image_CHW, blank[0].image_CHW)
    assert torch.equal(dataset(manifest, config, train=False)[0].image_CHW, plain[0].image_CHW)
    bare = [replace(sample, mask=None) for sample in manifest.samples]
    assert torch.equal(LeafDataset(bare, manifest.classes, config, train=True)[0].image_CHW, plain[0].image_CHW)
    often = dataset(manifest, config.model_copy(update={"blank": 0.5}))
    torch.manual_seed(0)
    hits = sum(torch.equal(often[0].image_CHW, blank[0].image_CHW) for _ in range(60))
    assert 15 < hits < 45


def test_unknown_label(manifest):
    with pytest.raises(DataError, match="has label 'ash', not one of the 2 classes"):
        LeafDataset(manifest.samples, ["elm", "oak"], RANDOM, train=True)


@pytest.mark.parametrize("kind", ["image", "mask"])
def test_a_damaged_file_is_named(manifest, kind):
    getattr(manifest.samples[7], kind).write_bytes(b"not a picture")
    with pytest.raises(DataError, match=rf"{kind} .*elm/1.png cannot be decoded"):
        epoch(make_loader(dataset(manifest), batch_size=18, train=True, seed=0), 0)


def test_mask_of_another_size_is_named(manifest, save):
    save("masks/oak/2.png", np.ones((4, 4), np.uint8))
    with pytest.raises(DataError, match="oak/2.png is 4x4 but its image, upright, is 12x10"):
        epoch(make_loader(dataset(manifest), batch_size=18, train=True, seed=0), 0)


def test_batch_size_zero(manifest):
    with pytest.raises(ValueError, match="batch_size=0: at least 1"):
        make_loader(dataset(manifest), batch_size=0, train=True, seed=0)


@pytest.mark.parametrize("balanced", [False, True])
def test_shares_are_the_whole_batches_with_the_same_random_changes(manifest, balanced):
    def load(share):
        made = make_loader(dataset(manifest), batch_size=5, train=True, seed=3, balanced=balanced)
        made.share = share
        return made

    whole, parts = epoch(load((0, 1)), 2), [epoch(load((rank, 2)), 2) for rank in (0, 1)]
    assert load((1, 2)).sizes == [len(batch.label_B) for batch in whole]
    for batch, *shares in zip(whole, *parts, strict=True):
        for part, *pieces in zip(batch, *shares, strict=True):
            assert torch.equal(part, torch.cat(pieces))
