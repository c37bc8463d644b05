import numpy as np
import pytest
import torch

from venation.models.gate import SpatialGate, mask_target


def _image(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("kind", "count"), [("none", 0), ("mean", 0), ("meanmax", 2)])
def test_number_of_parameters(kind, count):
    assert sum(p.numel() for p in SpatialGate(kind).parameters()) == count


@pytest.mark.parametrize("kind", ["mean", "meanmax"])
def test_blend_and_attention_follow_the_formula(kind):
    gate = SpatialGate(kind)
    if kind == "meanmax":
        with torch.no_grad():
            gate.weigh.weight.copy_(torch.tensor([0.7, -0.4]).view(1, 2, 1, 1))
    x = _image(2, 5, 3, 4)
    blended, attention = gate(x)
    array = x.numpy()
    mean, peak = array.mean(1, keepdims=True), array.max(1, keepdims=True)
    score = 0.7 * mean - 0.4 * peak if kind == "meanmax" else mean
    expected = 1 / (1 + np.exp(-score))
    np.testing.assert_allclose(attention.detach().numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(blended.detach().numpy(), 0.5 * array + 0.5 * expected * array, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("scale", [0.1, 3.0])
def test_multiplier_stays_between_a_half_and_one(scale):
    x = scale * _image(2, 8, 5, 5)
    ratio = (SpatialGate("meanmax")(x)[0] / x).detach()
    assert 0.5 < ratio.min() and ratio.max() < 1


def test_no_gate_passes_the_map_on():
    x = _image(1, 3, 2, 2)
    blended, attention = SpatialGate("none")(x)
    assert blended is x and attention is None


def test_mask_target_is_the_pooled_mask_over_its_peak():
    mask = (_image(3, 1, 12, 8) > 0.8).float()
    mask[1] = 0
    before = mask.clone()
    target, valid = mask_target(mask, (3, 2))
    assert torch.equal(mask, before)
    assert valid.tolist() == [True, False, True]
    blocks = mask.numpy().reshape(3, 1, 3, 4, 2, 4).mean(axis=(3, 5))
    for index in (0, 2):
        np.testing.assert_allclose(target[index].numpy(), blocks[index] / blocks[index].max(), rtol=1e-6, atol=1e-9)
    assert target[1].abs().max() == 0


def test_mask_target_of_several_classes_is_that_of_any_structure():
    classes = (_image(2, 1, 12, 8) * 4).floor()
    for found, wanted in zip(mask_target(classes, (3, 2)), mask_target((classes > 0).float(), (3, 2)), strict=True):
        assert torch.equal(found, wanted)


def test_mask_target_of_one_pixel_of_one_image():
    mask = torch.zeros(1, 1, 7, 7)
    mask[0, 0, 6, 6] = 1
    target, valid = mask_target(mask, (3, 3))
    assert valid.item() and target.max() == 1 and target[0, 0, 2, 2] == 1
