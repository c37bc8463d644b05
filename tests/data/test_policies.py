"""Policies for an image with a mask against torchvision's own for an image alone."""

from typing import Any

import numpy as np
import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from venation.data.data_config import DataConfig
from venation.data.policies import build_policy
from venation.data.transforms import FittedPair, as_tv_tensors, train_transform

GEOMETRIC = {"ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"}
COLOUR = (120, 110, 100)
PLAIN = {"trivial": v2.TrivialAugmentWide, "rand": v2.RandAugment}


def make_pair() -> tuple[tv_tensors.Image, tv_tensors.Mask]:
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.integers(0, 255, (3, 48, 40), dtype=np.uint8))
    mask = torch.zeros(1, 48, 40, dtype=torch.uint8)
    mask[:, 10:30, 5:20] = 1
    return tv_tensors.Image(image), tv_tensors.Mask(mask)


def operations(policy: v2.Transform, seed: int, image: torch.Tensor) -> tuple[list[str], torch.Tensor]:
    """Return the operations that torchvision's policy draws with a seed, and its result."""
    names: list[str] = []
    apply = policy._apply_image_or_video_transform

    def record(image: torch.Tensor, name: str, *given: Any, **options: Any) -> torch.Tensor:
        names.append(name)
        return apply(image, name, *given, **options)

    policy._apply_image_or_video_transform = record
    torch.manual_seed(seed)
    return names, policy(tv_tensors.Image(image))


@pytest.mark.parametrize("name", PLAIN)
def test_the_image_is_torchvisions_and_the_mask_moves_like_a_picture_of_it(name: str) -> None:
    image, mask = make_pair()
    seen: set[str] = set()
    for seed in range(80):
        torch.manual_seed(seed)
        changed, moved = build_policy(name, COLOUR)(image, mask)
        plain = PLAIN[name](interpolation=v2.InterpolationMode.BILINEAR, fill=list(COLOUR))
        names, expected = operations(plain, seed, image)
        assert torch.equal(changed, expected)
        if set(names) <= GEOMETRIC | {"Identity"}:
            _, picture = operations(PLAIN[name](fill=0), seed, mask * 255)
            assert torch.equal(moved, picture // 255), names
        elif not set(names) & GEOMETRIC:
            assert torch.equal(moved, mask), names
        assert moved.dtype == torch.uint8 and isinstance(moved, tv_tensors.Mask)
        seen |= set(names)
    assert seen > GEOMETRIC and len(seen) > 9


@pytest.mark.parametrize("fit", ["squash", "pad", "crop", "patch"])
@pytest.mark.parametrize("name", PLAIN)
def test_a_training_transform_draws_the_policy(name: str, fit: str) -> None:
    config = DataConfig(size="48x40", hflip=0.0, augment=name, fit=fit)
    image, mask = make_pair()
    drawn = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        drawn.append(train_transform(config)(*as_tv_tensors(FittedPair(image, mask))))
    assert all(part[0].shape == (3, 48, 40) and part[1].shape == (1, 48, 40) for part in drawn)
    assert torch.equal(drawn[0][0], drawn[1][0]) and not torch.equal(drawn[0][0], drawn[2][0])
    assert set(drawn[2][1].unique().tolist()) <= {0.0, 1.0}


def test_new_corners_have_the_mean_colour() -> None:
    """After normalisation they are zero within rounding."""
    config = DataConfig(size="48x40", hflip=0.0, augment="trivial", std=(1.0, 1.0, 1.0))
    white = tv_tensors.Image(torch.full((3, 48, 40), 255, dtype=torch.uint8))
    for seed in range(60):
        torch.manual_seed(seed)
        names, _ = operations(v2.TrivialAugmentWide(fill=0), seed, white)
        torch.manual_seed(seed)
        image, _ = train_transform(config)(white, make_pair()[1])
        if names == ["TranslateX"] and not torch.equal(image, image[:, :, :1].expand_as(image)):
            break
    corner = min(image[:, 0, 0].abs().max(), image[:, 0, -1].abs().max())
    assert float(corner) < 0.003


@pytest.mark.parametrize("name", PLAIN)
def test_each_of_many_channels_is_changed_as_a_grey_image(name: str) -> None:
    image = tv_tensors.Image(torch.from_numpy(np.random.default_rng(1).integers(0, 255, (5, 48, 40), dtype=np.uint8)))
    colour, seen = (120, 110, 100, 90, 80), set[str]()
    for seed in range(60):
        torch.manual_seed(seed)
        changed, _ = build_policy(name, colour)(image, make_pair()[1])
        assert isinstance(changed, tv_tensors.Image)
        for band, fill in enumerate(colour):
            plain = PLAIN[name](interpolation=v2.InterpolationMode.BILINEAR, fill=[fill])
            names, expected = operations(plain, seed, image[band : band + 1])
            assert torch.equal(changed[band : band + 1], expected), names
        seen |= set(names)
    assert seen > GEOMETRIC and len(seen) > 9


def test_colours_of_many_channels_jitter_alike() -> None:
    """Brightness and contrast have one strength for all channels; saturation changes nothing."""
    config = DataConfig(size="48x40", channels=5, hflip=0.0, colour=0.5, mean=(0, 0, 0), std=(1, 1, 1))
    image = torch.from_numpy(np.random.default_rng(2).integers(0, 255, (5, 48, 40), dtype=np.uint8))
    for seed in range(5):
        torch.manual_seed(seed)
        changed, _ = train_transform(config)(*as_tv_tensors(FittedPair(image, make_pair()[1])))
        for band in range(5):
            torch.manual_seed(seed)
            expected = v2.ColorJitter(brightness=0.5, contrast=0.5, saturation=0.5)(image[band : band + 1] / 255)
            torch.testing.assert_close(changed[band : band + 1].as_subclass(torch.Tensor), expected)


def test_every_change_takes_many_channels() -> None:
    changes = {"blur": 1.0, "sharpen": 1.0, "rotate": 20.0, "erase": 1.0, "vflip": 1.0, "min_area": 0.5, "turn": 1.0}
    config = DataConfig(size=40, channels=5, colour=0.5, augment="trivial", **changes)
    image = torch.from_numpy(np.random.default_rng(3).integers(0, 255, (5, 60, 60), dtype=np.uint8))
    changed, mask = train_transform(config)(*as_tv_tensors(FittedPair(image, torch.ones(1, 60, 60).byte())))
    assert changed.shape == (5, 40, 40) and changed.isfinite().all() and mask.shape == (1, 40, 40)
