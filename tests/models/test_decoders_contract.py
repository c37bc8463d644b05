"""Properties that every kind of decoder has, tested on whole networks with a tiny encoder."""

from typing import get_args

import pytest
import torch

from venation.bundles.onnx_model import run_onnx, write_onnx
from venation.data.data_config import DataConfig
from venation.models.build import build_network
from venation.models.network_config import DecoderConfig, DecoderKind, EncoderConfig, NetworkConfig
from venation.trials.trial_config import TrialConfig

KINDS = [kind for kind in get_args(DecoderKind) if kind != "none"]
SUPERVISED = ["unet", "unet3p", "unet3p_ref", "mnsa"]
# Image side over the side of the logits: the library's decoders end at the image's size, the others
# at the first level's.
STRIDE = {kind: 2 if kind in SUPERVISED else 1 for kind in KINDS}
EXPORTED = ["unet3p_ref", "upernet"]


def _network(kind, *, encoder="test_resnet", **decoder):
    torch.manual_seed(0)
    config = DecoderConfig(kind=kind, **decoder)
    network = build_network(NetworkConfig(encoder=EncoderConfig(name=encoder), decoder=config, num_classes=3))
    network.freeze_base()
    return network


@pytest.mark.parametrize("kind", KINDS)
def test_one_deterministic_output_of_the_right_size(kind):
    network = _network(kind).eval()
    image = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        first, second = network(image), network(image)
    assert first.mask_logits_B1HW.shape == (2, 1, 64 // STRIDE[kind], 96 // STRIDE[kind])
    assert first.side_logits == ()
    assert torch.equal(first.mask_logits_B1HW, second.mask_logits_B1HW)
    assert first.mask_logits_B1HW.std() > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("encoder", ["test_resnet", "test_convnext", "test_vit"])
def test_full_size_equals_the_image_size(kind, encoder):
    """Five levels that round odd sides up, four that round them down, and a plain transformer."""
    size = (64, 96) if encoder == "test_vit" else (75, 90)
    network = _network(kind, encoder=encoder, full_size=True, channels=8).eval()
    with torch.no_grad():
        assert network(torch.randn(1, 3, *size)).mask_logits_B1HW.shape == (1, 1, *size)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [0, 32])
def test_gradients_reach_every_decoder_parameter_and_no_other(kind, channels):
    network = _network(kind, channels=channels, gate_from=1, supervise=kind in SUPERVISED).train()
    for module in network.modules():
        # Offsets start at zero, and so do the gradients of the layers before them.
        if hasattr(module, "offset"):
            torch.nn.init.normal_(module.offset[-1].weight)
    output = network(torch.randn(4, 3, 64, 64))
    outputs = (output.mask_logits_B1HW, *output.side_logits)
    torch.stack([logits.square().mean() for logits in outputs]).sum().backward()
    grads = {name: p.grad for name, p in network.named_parameters()}
    assert {name.split(".")[0] for name, grad in grads.items() if grad is not None} == {"decoder"}
    assert [name for name, grad in grads.items() if grad is None and name.startswith("decoder.")] == []
    # The two weights of a squeeze-and-excitation feed so few ReLUs that all of these may be zero.
    still = [n for n, g in grads.items() if g is not None and g.ndim > 1 and "SE_" not in n and not g.abs().sum() > 0]
    assert still == []


@pytest.mark.parametrize("kind", SUPERVISED)
def test_side_outputs_appear_only_in_training_and_do_not_change_the_logits(kind):
    plain, network = _network(kind), _network(kind, supervise=True)
    network.load_state_dict(plain.state_dict(), strict=False)
    assert network.state_dict().keys() - plain.state_dict().keys() == {
        f"decoder.sides.heads.{index}.{part}" for index in range(4) for part in ("weight", "bias")
    }
    image = torch.randn(2, 3, 64, 64)
    trained, expected = network.train()(image), plain.train()(image)
    torch.testing.assert_close(trained.mask_logits_B1HW, expected.mask_logits_B1HW)
    finest = 32 if kind in ("unet", "mnsa") else 16
    assert [tuple(side.shape) for side in trained.side_logits] == [(2, 1, finest >> n, finest >> n) for n in range(4)]
    assert network.eval()(image).side_logits == ()


@pytest.mark.parametrize("kind", EXPORTED)
def test_export_agrees_with_torch_at_another_batch_size(kind, tmp_path):
    """Two kinds suffice, because exports are slow.

    One has overlapping and adaptive pools, one extends its levels.
    """
    network = _network(kind, channels=8)
    with torch.no_grad():
        network.train()(torch.randn(4, 3, 80, 80))  # statistics other than the initial ones
    network.eval()
    path = tmp_path / "network.onnx"
    write_onnx(network, TrialConfig.model_construct(data=DataConfig(size=80)), path)
    image = torch.randn(3, 3, 80, 80)
    with torch.no_grad():
        expected = network(image).mask_logits_B1HW.sigmoid().numpy()
    found = run_onnx(path, image.numpy())["mask"]
    assert found.shape == expected.shape
    assert abs(found - expected).max() < 1e-4
