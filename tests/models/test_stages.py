"""Stages of encoders against timm's own groups and against the levels' modules."""

import pytest
import torch
from timm.models import create_model, group_parameters

from venation.models.encoder import build_encoder
from venation.models.network_config import EncoderConfig
from venation.models.stages import parameter_stages


def stages_of(name: str) -> dict[str, int]:
    with torch.device("meta"):
        return parameter_stages(build_encoder(EncoderConfig(name=name)).body)


@pytest.mark.parametrize("name", ["test_resnet", "resnet18"])
def test_a_resnets_stages_are_timms(name: str) -> None:
    with torch.device("meta"):
        whole = create_model(name)
    expected = group_parameters(whole, whole.group_matcher(coarse=True), reverse=True)
    assert stages_of(name) == {name: stage for name, stage in expected.items() if not name.startswith("fc.")}


def test_a_transformers_stages_are_blocks_up_to_each_level() -> None:
    stages = stages_of("test_vit")
    blocks = {int(name.split(".")[2]): stage for name, stage in stages.items() if ".blocks." in name}
    assert blocks == {0: 0, 1: 1, 2: 1, 3: 2, 4: 3, 5: 3}
    others = {name.split(".")[1]: stage for name, stage in stages.items() if ".blocks." not in name}
    assert others == {"cls_token": 0, "pos_embed": 0, "patch_embed": 0, "norm": 3}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("test_efficientnet", [0, 0, 0, 1, 2, 3, 4]),
        ("convnext_atto", [0, 0, 0, 1, 2, 3]),
        ("swin_tiny_patch4_window7_224", [0, 0, 1, 2, 3]),
        ("densenet121", [0, 0, 1, 2, 2, 3, 3, 4, 4, 4]),
        ("vgg11_bn", [0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4]),
    ],
)
def test_every_parameter_has_a_stage_and_stages_ascend(name: str, expected: list[int]) -> None:
    """The stages of the modules in order; an EfficientNet's stem belongs to its first stage."""
    stages = stages_of(name)
    modules: dict[str, int] = {}
    for parameter, stage in stages.items():
        parts = parameter.split(".")
        modules.setdefault(".".join(parts[:2]) if parts[0] == "blocks" else parts[0], stage)
    assert list(modules.values()) == expected
