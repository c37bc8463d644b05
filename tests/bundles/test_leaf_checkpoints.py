"""Checkpoints of MGANet, XMNet and MNSA, against torchvision's networks joined as published."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from PIL import Image
from small_bundle import EXPECTED_FAILURE, MISUSE, predicted, refuse, rows, succeed
from torch import Tensor, nn

from venation.bundles.leaf_checkpoints import load_leaf_weights
from venation.data.data_config import DataConfig
from venation.data.transforms import eval_image
from venation.errors import UserError
from venation.models.build import build_network
from venation.models.network_config import EncoderConfig, NetworkConfig

NAMES = ("oak", "elm", "ash")


def published(encoder: str, system: str) -> tuple[dict[str, Tensor], Any]:
    """Return a checkpoint in the published layout and the network's answer as a function."""
    torch.manual_seed(0)
    model = getattr(torchvision.models, encoder)()
    body = model.features if encoder.startswith("densenet") else nn.Sequential(*list(model.children())[:-2])
    channels = 1024 if encoder.startswith("densenet") else 512
    gate, head = nn.Conv2d(2, 1, 1, bias=False), nn.Linear(channels, len(NAMES))
    for name, buffer in body.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.2, 1.5)
    prefix = "features." if system == "mganet" else "features.features."
    tensors = {f"module.{prefix}{key}": value for key, value in body.state_dict().items()}
    copies = ["classifier."] if system == "mganet" else ["classifier.", "features.classifier."]
    tensors |= {f"module.{copy}{key}": value for copy in copies for key, value in head.state_dict().items()}
    tensors["module.attention.weight"] = gate.weight.detach()

    @torch.no_grad()
    def answer(x_BCHW: Tensor) -> Tensor:
        features = body.eval()(x_BCHW)
        attention = gate(torch.stack((features.mean(1), features.amax(1)), 1)).sigmoid()
        features = 0.5 * features + 0.5 * attention * features
        features = features.relu() if encoder.startswith("densenet") else features
        return head(features.mean((2, 3))).softmax(1)

    return tensors, answer


@pytest.mark.parametrize("system", ["mganet", "xmnet", "mnsa"])
@pytest.mark.parametrize("encoder", ["densenet121", "resnet18"])
def test_the_weights_mean_what_they_meant(encoder: str, system: str) -> None:
    tensors, answer = published(encoder, system)
    given = {key.removeprefix("module."): value for key, value in tensors.items()}
    network = build_network(NetworkConfig(encoder=EncoderConfig(name=encoder), num_classes=len(NAMES)))
    load_leaf_weights(network, given, encoder=encoder, source="it")
    x_BCHW = torch.randn(2, 3, 64, 80)
    with torch.no_grad():
        found = network.eval()(x_BCHW).logits_BN.softmax(1)
    torch.testing.assert_close(found, answer(x_BCHW), atol=1e-5, rtol=1e-4)
    half = {key: value for key, value in given.items() if "layer3" not in key and "denseblock3" not in key}
    half = {key: value for key, value in half.items() if not key.startswith(("features.6", "features.features.6"))}
    with pytest.raises(UserError, match="does not fit"):
        load_leaf_weights(network, half, encoder=encoder, source="it")


def _files(folder: Path, system: str) -> tuple[Path, Path, Any]:
    tensors, answer = published("resnet18", system)
    torch.save({"net": tensors, "acc": 36.25, "epoch": 149}, folder / "best.pth")
    (folder / "names.txt").write_text("\n".join(NAMES) + "\n")
    return folder / "best.pth", folder / "names.txt", answer


def test_an_imported_classifier_checks_and_predicts_whole_images(tmp_path: Path) -> None:
    best, names, answer = _files(tmp_path, "mganet")
    out, photo = tmp_path / "out.bundle", tmp_path / "photo.png"
    options = ("--encoder", "resnet18", "--size", 64)
    succeed("bundle", "import", best, "--system", "mganet", "--classes", names, "-o", out, *options)
    assert rows("bundle", "check", out)["onnx_difference"] < 1e-4
    pixels = torch.randint(0, 256, (90, 70, 3), generator=torch.Generator().manual_seed(1), dtype=torch.uint8).numpy()
    Image.fromarray(pixels).save(photo)
    (found,) = predicted(out, photo, "-o", tmp_path / "predicted")
    expected = answer(eval_image(pixels, DataConfig(size=64, fit="whole"))[None])[0]
    assert found["label"] == NAMES[int(expected.argmax())]
    assert found["probability"] == pytest.approx(float(expected.max()), abs=1e-4)
    shown = rows("bundle", "show", out)
    assert shown["config"]["data"]["fit"] == "whole" and shown["provenance"]["imported"]["system"] == "mganet"


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--system", "pim"), EXPECTED_FAILURE, ("lacks `fpn.Proj_layer1.2.weight`",)),
        (("--system", "xmnet", "--encoder", "resnet34"), EXPECTED_FAILURE, ("does not fit",)),
        (
            ("--system", "xmnet", "--encoder", "mobilenetv2_100"),
            MISUSE,
            ("has other layers", "densenet161 or a resnet"),
        ),
        (("--system", "mnsa", "--encoder", "resnet50"), EXPECTED_FAILURE, ("does not fit",)),
        (("--system", "mnsa", "--resize", "600"), MISUSE, ("--resize belongs to PIM and HERBS",)),
        (("--system", "mganet", "--size", "0"), MISUSE, ("--size 0",)),
    ],
)
def test_what_does_not_fit_is_one_line(
    tmp_path: Path, options: tuple[str, ...], code: int, says: tuple[str, ...]
) -> None:
    best, names, _ = _files(tmp_path, "mganet")
    encoder = () if "--encoder" in options or "pim" in options else ("--encoder", "resnet18")
    out = tmp_path / "x"
    refuse(code, "bundle", "import", best, "--classes", names, "-o", out, *encoder, *options, says=says)
    names.write_text("oak\nelm\n")
    few = ("--system", "xmnet", "--encoder", "resnet18")
    refuse(EXPECTED_FAILURE, "bundle", "import", best, "--classes", names, "-o", out, *few, says=("has 3 classes",))
    assert not out.exists()
