import copy

import pytest
import torch
from safetensors.torch import load_file, save_file

from venation.models.build import build_network
from venation.models.network_config import DecoderConfig, EncoderConfig, NetworkConfig


def _config(kind="none", *, encoder="test_resnet", gate="meanmax", **decoder):
    return NetworkConfig(
        encoder=EncoderConfig(name=encoder), gate=gate, decoder=DecoderConfig(kind=kind, **decoder), num_classes=5
    )


def _image(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("encoder", ["test_resnet", "resnet18", "test_convnext", "test_efficientnet"])
@pytest.mark.parametrize(("kind", "channels"), [("none", 0), ("unet", 8), ("mnsa", 8)], ids=["none", "unet", "mnsa"])
def test_forward_and_backward(encoder, kind, channels):
    network = build_network(_config(kind, encoder=encoder, channels=channels, gate_from=1))
    out = network(_image(2, 3, 64, 64))
    assert out.logits_BN.shape == (2, 5)
    assert out.attention_B1hw.shape == (2, 1, 2, 2)
    assert out.features_BC.shape == (2, network.encoder.out_channels[-1])
    loss = out.logits_BN.square().mean()
    if kind != "none":
        side = 64 // network.encoder.reductions[0]
        assert out.mask_logits_B1HW.shape == (2, 1, side, side)
        loss = loss + out.mask_logits_B1HW.square().mean()
    loss.backward()
    without = [name for name, p in network.named_parameters() if p.grad is None]
    assert without == []


@pytest.mark.parametrize("kind", ["unet", "mnsa"])
def test_exact_form_runs_backward(kind):
    network = build_network(_config(kind))
    network(_image(2, 3, 32, 32)).mask_logits_B1HW.mean().backward()
    assert all(p.grad is not None for p in network.decoder.parameters())


@pytest.mark.parametrize("encoder", ["test_resnet", "test_convnext", "test_vit"])
@pytest.mark.parametrize("kind", ["unet", "mnsa"])
def test_full_size_equals_the_image_size_at_every_stride(encoder, kind):
    size = (80, 96) if encoder == "test_vit" else (75, 99)
    network = build_network(_config(kind, encoder=encoder, channels=8, full_size=True)).eval()
    with torch.no_grad():
        assert network(_image(1, 3, *size)).mask_logits_B1HW.shape == (1, 1, *size)


def test_classifier_is_gate_relu_pool_linear():
    network = build_network(_config(encoder="densenet121")).eval()
    image = _image(2, 3, 64, 64)
    with torch.no_grad():
        out = network(image)
        last = network.encoder(image)[-1]
        attention = torch.sigmoid(network.gate.weigh(torch.stack([last.mean(1), last.max(1).values], 1)))
        features = (last * (1 + attention) / 2).clamp(min=0).mean((2, 3))
        logits = features @ network.head.weight.T + network.head.bias
    torch.testing.assert_close(out.attention_B1hw, attention)
    torch.testing.assert_close(out.features_BC, features)
    torch.testing.assert_close(out.logits_BN, logits)


def test_the_decoder_reads_the_ungated_levels():
    network = build_network(_config("unet", encoder="densenet121", gate="none", channels=4)).eval()
    seen = []
    network.decoder.register_forward_pre_hook(lambda _, args: seen.append([level.clone() for level in args[0]]))
    image = _image(1, 3, 32, 32)
    with torch.no_grad():
        network(image)
        expected = network.encoder(image)
    assert all(torch.equal(a, b) for a, b in zip(seen[0], expected, strict=True))
    assert seen[0][-1].min() < 0


def test_the_encoder_runs_once_per_forward_pass():
    network = build_network(_config("mnsa", channels=4))
    calls = []
    for child in network.encoder.body.children():
        child.register_forward_hook(lambda module, *_: calls.append(module))
    network(_image(2, 3, 64, 64))
    assert len(calls) == len(set(calls)) == len(list(network.encoder.body.children()))


def test_no_gate_gives_no_attention_and_segment_false_no_mask():
    network = build_network(_config("unet", gate="none", channels=4)).eval()
    out = network(_image(1, 3, 64, 64), segment=False)
    assert out.attention_B1hw is None and out.mask_logits_B1HW is None
    assert build_network(_config()).decoder is None


def test_a_frozen_base_changes_neither_weights_nor_statistics():
    network = build_network(_config("mnsa", channels=4))
    network.freeze_base()
    network.train()
    before = copy.deepcopy(network.state_dict())
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1, weight_decay=0.1)
    out = network(_image(2, 3, 64, 64))
    assert not out.features_BC.requires_grad and out.mask_logits_B1HW.requires_grad
    out.mask_logits_B1HW.square().mean().backward()
    optimizer.step()
    moved = {key.split(".")[0] for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert moved == {"decoder"}
    assert network.decoder.training and not network.encoder.training


def test_the_base_trains_unless_frozen():
    network = build_network(_config())
    network(_image(2, 3, 64, 64)).logits_BN.square().mean().backward()
    assert network.encoder.body.conv1[0].weight.grad is not None


def test_weights_round_trip(tmp_path):
    config = _config("mnsa", channels=8)
    torch.manual_seed(0)
    first = build_network(config).eval()
    second = build_network(config).eval()
    save_file(first.state_dict(), tmp_path / "weights.safetensors")
    second.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    image = _image(1, 3, 64, 64)
    with torch.no_grad():
        mine, theirs = first(image), second(image)
    assert all(torch.equal(a, b) for a, b in zip(mine[:4], theirs[:4], strict=True))
    assert len({value.data_ptr() for value in first.state_dict().values() if value.numel()}) == sum(
        value.numel() > 0 for value in first.state_dict().values()
    )


def test_a_copy_keeps_its_own_frozen_batch_norm():
    config = NetworkConfig(encoder=EncoderConfig(name="test_resnet", frozen_children=3), num_classes=2)
    twin = copy.deepcopy(build_network(config)).train()
    assert not twin.encoder.body.bn1.training and twin.encoder.body.layer4[0].bn1.training
