"""Logits of one structure and of several mask classes, in every decoder."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from venation.models.build import build_network
from venation.models.ensemble_network import build_ensemble, mean_mask_logits
from venation.models.mask_logits import mask_probabilities, mask_shares, predicted_mask, resize_shares
from venation.models.network_config import DecoderConfig, EncoderConfig, NetworkConfig

NAMES = ("vein", "lesion")
KINDS = ["unet", "unet3p", "unet3p_ref", "mnsa", "smp_unet", "unetplusplus", "manet", "deeplabv3plus", "fpn"]


def network_config(**decoder):
    return NetworkConfig(
        encoder=EncoderConfig(name="test_resnet"), decoder=DecoderConfig(**decoder), num_classes=3, size=(32, 32)
    )


def logits_of(maps, seed=0):
    return torch.randn(2, maps, 6, 5, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", KINDS + ["upernet", "segformer"])
def test_every_decoder_has_a_map_for_the_background_and_each_class(kind):
    network = build_network(network_config(kind=kind, channels=8, classes=NAMES, full_size=True, detail=2))
    x_BCHW = torch.randn(2, 3, 32, 32)
    assert network(x_BCHW).mask_logits_B1HW.shape == (2, 3, 32, 32)
    assert network.mask_classes == NAMES


@pytest.mark.parametrize("kind", ["unet", "unet3p", "unet3p_ref", "mnsa"])
def test_side_outputs_have_the_same_maps(kind):
    network = build_network(network_config(kind=kind, channels=8, classes=NAMES, supervise=True)).train()
    sides = network(torch.randn(2, 3, 32, 32)).side_logits
    assert sides and {side.shape[1] for side in sides} == {3}


def test_a_transformers_pyramid_carries_the_classes():
    config = network_config(kind="unet", classes=NAMES).model_copy(
        update={"encoder": EncoderConfig(name="test_vit"), "size": (64, 64)}
    )
    assert build_network(config)(torch.randn(1, 3, 64, 64)).mask_logits_B1HW.shape[:2] == (1, 3)


def test_without_classes_a_decoder_has_one_map_as_before():
    assert DecoderConfig().maps == 1
    with pytest.raises(ValidationError, match="two different names or more"):
        DecoderConfig(classes=("vein",))
    with pytest.raises(ValidationError, match="two different names or more"):
        DecoderConfig(classes=("vein", "vein"))


def test_probabilities_and_masks_are_those_of_sigmoid_and_softmax():
    one, three = logits_of(1), logits_of(3)
    np.testing.assert_allclose(mask_probabilities(one), 1 / (1 + np.exp(-one.numpy())), rtol=1e-5)
    np.testing.assert_array_equal(predicted_mask(one), one.numpy() > 0)
    x = three.double().numpy()
    np.testing.assert_allclose(mask_probabilities(three), np.exp(x) / np.exp(x).sum(1, keepdims=True), rtol=1e-5)
    np.testing.assert_array_equal(predicted_mask(three), x.argmax(1, keepdims=True))


def test_targets_are_shares_of_each_class():
    mask = torch.randint(3, (2, 1, 8, 8), generator=torch.Generator().manual_seed(1)).float()
    shares = resize_shares(mask_shares(mask, 3), torch.zeros(2, 3, 4, 4)).numpy()
    for k in range(3):
        wanted = (mask[:, 0].numpy() == k).reshape(2, 4, 2, 4, 2).mean(axis=(2, 4))
        np.testing.assert_array_equal(shares[:, k], wanted)
    np.testing.assert_array_equal(mask_shares(mask, 1), mask.numpy() > 0)


def test_members_of_an_ensemble_average_the_probabilities_of_the_classes():
    members = [logits_of(3, seed) for seed in range(3)]
    mean = mean_mask_logits(members, [1.0, 1.0, 2.0])
    wanted = sum(w * F.softmax(part.double(), 1) for w, part in zip((0.25, 0.25, 0.5), members, strict=True))
    np.testing.assert_allclose(mean.softmax(1), wanted, rtol=1e-5)
    config = network_config(kind="unet", channels=4, classes=NAMES)
    ensemble = build_ensemble(config, others=[], masks=[config], label_weights=[1.0], mask_weights=[0.5, 0.5]).eval()
    assert ensemble.mask_classes == NAMES and ensemble(torch.randn(1, 3, 32, 32)).mask_logits_B1HW.shape[1] == 3
