"""The refinement head, which corrects a decoder's logits at the image's size."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from venation.bundles.onnx_model import run_onnx, write_onnx
from venation.data.data_config import DataConfig
from venation.models.build import build_network
from venation.models.cost import cost
from venation.models.network_config import DecoderConfig, EncoderConfig, NetworkConfig
from venation.models.refinement_head import DetailDecoder
from venation.trials.trial_config import TrialConfig


def _network(kind, *, detail, encoder="test_resnet", **decoder):
    config = DecoderConfig(kind=kind, detail=detail, channels=8, **decoder)
    return build_network(NetworkConfig(encoder=EncoderConfig(name=encoder), decoder=config, num_classes=3))


def _image(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("encoder", ["test_resnet", "test_vit"])
@pytest.mark.parametrize("kind", ["unet", "unet3p", "unet3p_ref", "mnsa", "smp_unet", "segformer"])
def test_logits_have_the_image_size_and_every_weight_trains(kind, encoder):
    network = _network(kind, detail=4, encoder=encoder)
    network.freeze_base()
    logits = network(_image(2, 3, 64, 96)).mask_logits_B1HW
    assert logits.shape == (2, 1, 64, 96)
    logits.square().mean().backward()
    trained = [p for p in network.decoder.parameters() if p.requires_grad]
    assert trained and all(p.grad is not None for p in trained)


def test_it_distinguishes_single_pixels():
    """Neighbouring pixels differ even if the levels, and so the decoder's logits, are equal."""
    still = DetailDecoder(_Constant(), 4).eval()
    image = torch.zeros(1, 3, 16, 16)
    image[..., 7, 9] = 1.0
    with torch.no_grad():
        changed = still([], image)[0] != still([], torch.zeros_like(image))[0]
    rows, columns = changed[0, 0].nonzero(as_tuple=True)
    assert changed[0, 0, 7, 9]
    # Three convolutions of 3 x 3 reach three pixels.
    assert rows.min() >= 4 and rows.max() <= 10 and columns.min() >= 6 and columns.max() <= 12


def test_with_a_zero_head_it_only_upsamples():
    network = _network("mnsa", detail=4).eval()
    for parameter in network.decoder.head.parameters():
        nn.init.zeros_(parameter)
    image = _image(1, 3, 50, 66)
    with torch.no_grad():
        coarse = network.decoder.decoder(network.encoder(image))[0]
        enlarged = nn.functional.interpolate(coarse, (50, 66), mode="bilinear")
        assert torch.equal(network(image).mask_logits_B1HW, enlarged)


def test_side_outputs_are_unchanged():
    image = _image(2, 3, 64, 64)
    outputs = [_network("unet", detail=detail, supervise=True)(image) for detail in (0, 4)]
    sides = [[side.shape for side in output.side_logits] for output in outputs]
    assert sides[0] == sides[1] and len(sides[0]) == 4


def test_its_cost_is_that_of_its_convolutions():
    def priced(detail):
        config = DecoderConfig(kind="unet", detail=detail)
        return cost(
            NetworkConfig(encoder=EncoderConfig(name="test_resnet"), decoder=config, num_classes=3, size=(64, 64))
        )

    parts = 3 * 5 * 9, 6 * 5 * 9, 5 * 9
    assert priced(5).macs - priced(0).macs == sum(parts) * 64 * 64
    assert priced(5).trainable - priced(0).trainable == sum(parts) + 1 + 2 * 2 * 5


def test_export_agrees_with_torch_at_another_batch_size(tmp_path):
    network = _network("unet", detail=4)
    with torch.no_grad():
        network.train()(_image(4, 3, 64, 64))  # statistics other than the initial ones
    network.eval()
    write_onnx(network, TrialConfig.model_construct(data=DataConfig(size=64)), tmp_path / "network.onnx")
    image = _image(3, 3, 64, 64)
    with torch.no_grad():
        expected = network(image).mask_logits_B1HW.sigmoid().numpy()
    found = run_onnx(tmp_path / "network.onnx", image.numpy())["mask"]
    assert found.shape == expected.shape
    assert abs(found - expected).max() < 1e-4


class _Constant(nn.Module):
    def forward(self, levels):
        return [torch.full((1, 1, 8, 8), 0.3)]


class Coarse(nn.Module):
    """A decoder that returns the mean of its level, with one side output."""

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        return [levels[0].mean(1, keepdim=True), levels[0][:, :1]]


def test_the_image_correction_is_added_to_the_upsampled_logits() -> None:
    torch.manual_seed(0)
    decoder = DetailDecoder(Coarse(), 4).eval()
    level, image = torch.randn(2, 3, 6, 5), torch.randn(2, 3, 13, 10)
    logits, side = decoder([level], image)
    up = F.interpolate(level.mean(1, keepdim=True), (13, 10), mode="bilinear", align_corners=False)

    def block(part: nn.Module, x: Tensor) -> Tensor:
        conv, norm = part[0], part[1]
        x = F.conv2d(x, conv.weight, padding=1)
        x = (x - norm.running_mean[:, None, None]) / (norm.running_var[:, None, None] + norm.eps).sqrt()
        return (x * norm.weight[:, None, None] + norm.bias[:, None, None]).clamp(min=0)

    seen = block(decoder.join, torch.cat((up, block(decoder.image, image)), dim=1))
    torch.testing.assert_close(logits, up + F.conv2d(seen, decoder.head.weight, decoder.head.bias, padding=1))
    assert torch.equal(side, level[:, :1])


def test_it_learns_a_one_pixel_line_that_no_level_contains() -> None:
    """The level is blank: only the image shows the line."""
    torch.manual_seed(0)
    decoder = DetailDecoder(Coarse(), 8)
    rows = torch.randint(2, 22, (8,))
    target = torch.zeros(8, 1, 24, 24)
    target[torch.arange(8), 0, rows] = 1
    image = target.expand(-1, 3, -1, -1) + 0.05 * torch.randn(8, 3, 24, 24)
    optimizer = torch.optim.Adam(decoder.parameters(), 0.02)
    for _ in range(60):
        logits = decoder([torch.zeros(8, 3, 12, 12)], image)[0]
        loss = F.binary_cross_entropy_with_logits(logits, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert ((logits > 0) == target.bool()).float().mean() > 0.99
