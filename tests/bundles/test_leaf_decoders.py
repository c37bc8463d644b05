"""Decoders of XMNet and MNSA in the published layout, against torchvision's operators joined so."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from small_bundle import EXPECTED_FAILURE, MISUSE, refuse, rows, succeed
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import DeformConv2d

from venation.bundles.leaf_checkpoints import load_leaf_weights
from venation.bundles.leaf_decoders import decoder_config
from venation.errors import UserError
from venation.models.build import build_network
from venation.models.network import MultitaskNetwork
from venation.models.network_config import EncoderConfig, NetworkConfig

from .test_leaf_checkpoints import NAMES, published

CHANNELS = (64, 64, 128, 256, 512)  # resnet18's levels
WIDTHS = (1 / 16, 1 / 4, 1 / 8, 1 / 16, 1 / 8)
Decode = Callable[[list[Tensor]], Tensor]


def double(x_BCHW: Tensor) -> Tensor:
    return F.interpolate(x_BCHW, scale_factor=2, mode="bilinear", align_corners=True)


def mean_max(x_BCHW: Tensor) -> Tensor:
    return torch.stack((x_BCHW.mean(1), x_BCHW.amax(1)), 1)


def outs(level: int) -> int:
    return CHANNELS[max(0, level - 1)]


def unet(gate_from: int = 3) -> tuple[nn.ModuleDict, Decode]:
    """XMNet's U-Net (section 5.3); the level is counted from 0 here and from 1 in the names."""
    parts = nn.ModuleDict({"center": nn.Conv2d(512, 512, 3, padding=1)})
    parts["atten_layers"] = nn.ModuleDict({str(n): nn.Conv2d(2, 1, 1, bias=False) for n in range(1, 6)})
    blocks = nn.ModuleDict()
    for level, count in enumerate(CHANNELS):
        layers = [nn.Conv2d(2 * count, outs(level), 3, padding=1), nn.ReLU()]
        layers += [nn.Conv2d(outs(level), outs(level), 3, padding=1), nn.ReLU()]
        layers += [] if level else [nn.Conv2d(64, 1, 3, padding=1)]
        blocks[str(level + 1)] = nn.ModuleDict({"layers": nn.ModuleDict({"1": nn.Sequential(*layers)})})
    parts["decoder_layers"] = blocks

    def decode(levels: list[Tensor]) -> Tensor:
        skips = list(levels)
        for level in range(gate_from - 1, 5):
            gate = parts["atten_layers"][str(level + 1)](mean_max(levels[level])).sigmoid()
            skips[level] = 0.5 * levels[level] + 0.5 * gate * levels[level]
        x = parts["center"](skips[4])
        for level in reversed(range(5)):
            x = blocks[str(level + 1)]["layers"]["1"](torch.cat((skips[level], x), 1))
            x = double(x) if level else x
        return x

    return parts, decode


def unet3p() -> tuple[nn.ModuleDict, Decode]:
    """XMNet's "UNet3+" (section 5.3): deeper levels have one channel, its centre is unused."""
    parts = nn.ModuleDict({"center": nn.Conv2d(512, 512, 3, padding=1)})
    parts["atten_layers"] = nn.ModuleDict({str(n): nn.Conv2d(2, 1, 1, bias=False) for n in range(1, 6)})
    nodes = nn.ModuleDict()
    for level in range(5):
        layers = nn.ModuleDict()
        for source, count in enumerate(CHANNELS):
            conv = nn.Conv2d(1 if source == level + 1 else count, 64, 3, padding=1)
            pool = nn.MaxPool2d(3, stride=2 ** max(0, level - source), padding=1)
            grow = nn.Upsample(scale_factor=2 ** max(1, source - level), mode="bilinear", align_corners=True)
            layers[str(source + 1)] = conv if source == level else nn.Sequential(conv, pool if source < level else grow)
        fuse = nn.Conv2d(320, 1, 3, padding=1)
        layers["6"] = nn.Sequential(fuse, nn.BatchNorm2d(1), nn.ReLU()) if level else fuse
        nodes[str(level + 1)] = nn.ModuleDict({"layers": layers})
    parts["decoder_layers"] = nodes

    def decode(levels: list[Tensor]) -> Tensor:
        x = levels[4]
        for level in reversed(range(5)):
            layers = nodes[str(level + 1)]["layers"]
            views = [layers[str(n + 1)](x if n == level + 1 else levels[n]) for n in range(5)]
            x = layers["6"](torch.cat(views, 1))
        return x

    return parts, decode


class _Deformable(nn.Module):
    def __init__(self, count: int, out: int, kernel: int) -> None:
        super().__init__()
        self.offset_generator = nn.Sequential(nn.Conv2d(count, 64, 1), nn.ReLU(), nn.Conv2d(64, 2 * kernel**2, 1))
        self.deform_conv = DeformConv2d(count, out, kernel, padding=kernel // 2)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.deform_conv(x_BCHW, self.offset_generator(x_BCHW))


def mnsa(transfer: float = 0.25) -> tuple[nn.ModuleDict, Decode]:
    """MNSA's decoder (sections 6.2 and 6.3)."""
    total = sum(WIDTHS)
    names = ("deconv_layers_3", "deconv_layers_5", "atrous_conv_layers_2", "atrous_conv_layers_3")
    parts = nn.ModuleDict({name: nn.ModuleDict() for name in (*names, "max_min_expan_layers", "tranformers")})
    parts["center"] = nn.Conv2d(int(512 * (1 + total)), 512, 3, padding=1)
    parts["center2"] = nn.Conv2d(512, 512, 3, padding=1)
    parts["decoder_layers"] = nn.ModuleDict()
    for level, count in enumerate(CHANNELS):
        key, widths, out = str(level + 1), [int(width * count) for width in WIDTHS], outs(level)
        parts["deconv_layers_3"][key] = _Deformable(count, widths[0], 3)
        parts["deconv_layers_5"][key] = _Deformable(count, widths[1], 5)
        parts["atrous_conv_layers_2"][key] = nn.Conv2d(count, widths[2], 3, padding=2, dilation=2)
        parts["atrous_conv_layers_3"][key] = nn.Conv2d(count, widths[3], 3, padding=3, dilation=3)
        parts["max_min_expan_layers"][key] = nn.Conv2d(2, widths[4], 1)
        kept = max(1, int(sum(widths) * transfer))
        parts["tranformers"][key] = nn.Conv2d(sum(widths), kept, 1)
        first = [nn.Conv2d(2 * count + sum(widths), out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU()]
        second = [nn.Conv2d(out + kept, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU()]
        second += [] if level else [nn.Conv2d(out, 1, 3, padding=1)]
        layers = nn.ModuleDict({"1": nn.Sequential(*first), "2": nn.Sequential(*second)})
        parts["decoder_layers"][key] = nn.ModuleDict({"layers": layers})

    def decode(levels: list[Tensor]) -> Tensor:
        x = None
        for level in reversed(range(5)):
            key, seen = str(level + 1), levels[level]
            extra = [parts[name][key](seen) for name in names] + [parts["max_min_expan_layers"][key](mean_max(seen))]
            skip = torch.cat((seen, *extra), 1)
            x = parts["center2"](parts["center"](skip)) if x is None else x
            layers = parts["decoder_layers"][key]["layers"]
            x = layers["1"](torch.cat((skip, x), 1))
            x = layers["2"](torch.cat((x, parts["tranformers"][key](torch.cat(extra, 1))), 1))
            x = double(x) if level else x
        assert x is not None
        return x

    return parts, decode


def checkpoint(system: str, made: tuple[nn.ModuleDict, Decode]) -> tuple[dict[str, Tensor], Decode]:
    """Return the tensors of a resnet18 with a decoder, and its mask's logits as a function."""
    given, _ = published("resnet18", system)
    parts, decode = made
    for name, buffer in parts.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.2, 1.5)
    tensors = {name.removeprefix("module."): tensor for name, tensor in given.items()}
    return tensors | parts.eval().state_dict(), decode


def imported(given: dict[str, Tensor], **options: Any) -> MultitaskNetwork:
    decoder = decoder_config(given, **({"gate_from": 3, "source": "it"} | options))
    assert decoder is not None
    config = NetworkConfig(encoder=EncoderConfig(name="resnet18"), decoder=decoder, num_classes=len(NAMES))
    network = build_network(config)
    load_leaf_weights(network, given, encoder="resnet18", source="it")
    return network.eval()


@pytest.mark.parametrize(
    ("system", "make", "options"),
    [
        ("xmnet", unet, {}),
        ("xmnet", lambda: unet(6), {"gate_from": 6}),
        ("xmnet", unet3p, {"gate_from": 6}),
        ("mnsa", mnsa, {}),
        ("mnsa", lambda: mnsa(0.0), {}),
    ],
    ids=["unet", "no gate", "unet3p", "mnsa", "no transfer"],
)
def test_the_mask_is_that_of_the_published_network(
    system: str, make: Callable[[], tuple[nn.ModuleDict, Decode]], options: dict[str, Any]
) -> None:
    torch.manual_seed(2)
    given, decode = checkpoint(system, make())
    network = imported(given, **options)
    x_BCHW = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found = network(x_BCHW).mask_logits_B1HW
        expected = decode(levels_of(given, x_BCHW))
    assert found is not None and found.shape == expected.shape == (1, 1, 32, 32)
    torch.testing.assert_close(found, expected, atol=1e-4 * float(expected.abs().max()), rtol=1e-3)


def levels_of(given: dict[str, Tensor], x_BCHW: Tensor) -> list[Tensor]:
    """Return the five levels of torchvision's resnet18 with the checkpoint's weights."""
    body = nn.Sequential(*list(torchvision.models.resnet18().children())[:-2]).eval()
    prefix = "features.features."
    body.load_state_dict({key.removeprefix(prefix): value for key, value in given.items() if key.startswith(prefix)})
    levels = [body[:3](x_BCHW)]
    for start, end in ((3, 5), (5, 6), (6, 7), (7, 8)):
        levels.append(body[start:end](levels[-1]))
    return levels


def test_widths_and_transfer_are_read_from_the_shapes() -> None:
    config = decoder_config(mnsa(0.125)[0].state_dict(), gate_from=3, source="it")
    assert config is not None and config.kind == "mnsa" and config.transfer == 0.125
    assert tuple(width for _, width in config.widths) == WIDTHS
    assert (
        decoder_config(unet()[0].state_dict() | {"offset_layers.1.weight": torch.zeros(1)}, gate_from=3, source="it")
        is None
    )


def test_half_a_decoder_is_refused() -> None:
    given, _ = checkpoint("xmnet", unet())
    half = {key: tensor for key, tensor in given.items() if not key.startswith("decoder_layers.4.")}
    part = {key: tensor for key, tensor in mnsa()[0].state_dict().items() if not key.startswith("tranformers.4")}
    with pytest.raises(UserError, match="it lacks `tranformers.4.weight` of a decoder of MNSA"):
        imported(part)
    with pytest.raises(UserError, match="the decoder's blocks.3.conv1.weight needs shape .*, the file has nothing"):
        imported(half)


def test_an_imported_decoder_draws_masks(tmp_path: Path) -> None:
    given, _ = checkpoint("xmnet", unet())
    best, names, out = tmp_path / "best.pth", tmp_path / "names.txt", tmp_path / "out.bundle"
    torch.save({"net": {f"module.{key}": tensor for key, tensor in given.items()}}, best)
    names.write_text("\n".join(NAMES) + "\n")
    options = ("--classes", names, "-o", out, "--encoder", "resnet18", "--size", 64)
    succeed("bundle", "import", best, "--system", "xmnet", *options)
    shown = rows("bundle", "show", out)
    assert (shown["config"]["decoder"]["kind"], shown["config"]["decoder"]["gate_from"]) == ("unet", 3)
    assert rows("bundle", "check", out)["onnx_difference"] < 1e-3
    again = ("--classes", names, "-o", tmp_path / "x", "--encoder", "resnet18")
    refuse(MISUSE, "bundle", "import", best, "--system", "mnsa", *again, "--size", "0", says=("--size 0",))
    other = ("has a decoder of xmnet, not of mnsa: give --system xmnet",)
    refuse(EXPECTED_FAILURE, "bundle", "import", best, "--system", "mnsa", *again, says=other)
    gate = ("--gate-from", "2")
    says = ("--gate-from 2 is for a decoder of XMNet",)
    refuse(MISUSE, "bundle", "import", best, "--system", "mganet", *again, *gate, says=says)
    few = tmp_path / "few.txt"
    few.write_text("oak\nelm\n")
    short = ("--classes", few, "-o", tmp_path / "x", "--encoder", "resnet18")
    refuse(EXPECTED_FAILURE, "bundle", "import", best, "--system", "xmnet", *short, says=("has 3 classes",))
