"""Frozen children of encoders, against torchvision's networks and the totals of the papers."""

import pytest
import torch
import torchvision
from torch import nn

from venation.errors import UsageError
from venation.models.encoder import build_encoder
from venation.models.frozen_part import check_not_whole, describe_frozen, frozen_part
from venation.models.network_config import EncoderConfig
from venation.spaces.fields import set_fields
from venation.spaces.presets import recipe
from venation.trials.auto_fields import resolve_auto


def trainable(name: str) -> int:
    """Return how many of an encoder's parameters train under the papers' preset."""
    config = resolve_auto(set_fields(recipe("xmnet", "classifier").config, {"encoder.name": name}))
    bare = config.encoder.model_copy(update={"weights": "none"})
    with torch.device("meta"):
        return size(build_encoder(bare))


def size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def test_the_leaf_presets_train_what_the_papers_train() -> None:
    with torch.device("meta"):
        mobilenet = torchvision.models.mobilenet_v2().features
        vgg = torchvision.models.vgg19().features
    # XMNet section 3.3: 23,715,658 with the head of 200 classes and the gate.
    assert trainable("densenet161") == 23_715_658 - 441_800 - 2
    assert trainable("resnet34") == 19_936_768
    # timm's network lacks the last child, the layer of 1280 channels.
    assert trainable("mobilenetv2_100") == size(mobilenet[10:18])
    assert trainable("vgg19") == size(vgg[21:])


def test_other_encoders_freeze_the_share_nearest_to_densenets() -> None:
    with torch.device("meta"):
        body = build_encoder(EncoderConfig(name="tf_efficientnet_lite0")).body
    blocks = dict(body.named_modules())
    trained = size(body) - sum(size(blocks[name]) for name in ("conv_stem", "bn1", *(f"blocks.{n}" for n in range(4))))
    assert trainable("tf_efficientnet_lite0") == trained - size(blocks["blocks.4.0"])
    line = describe_frozen(EncoderConfig(name="tf_efficientnet_lite0", frozen_children="auto"))
    assert line == (
        "encoder.frozen_children=auto: 12 of the 19 children of tf_efficientnet_lite0 stay frozen (360,288 of"
        " 2,958,848 parameters; the papers have no number for it; this is the share nearest to densenet161's 12%)"
    )
    known = describe_frozen(EncoderConfig(name="resnet34", frozen_children="auto"))
    assert known.endswith("(1,347,904 of 21,284,672 parameters; the papers' number)")


@pytest.mark.parametrize("name", ["convnext_tiny", "swin_tiny_patch4_window7_224", "vit_tiny_patch16_224", "resnet50"])
def test_no_encoder_is_frozen_whole_by_auto(name: str) -> None:
    part = frozen_part(EncoderConfig(name=name, frozen_children="auto"))
    assert 0 < part.parameters < part.of_parameters


def test_an_encoder_that_is_frozen_whole_is_refused_unless_it_is_meant() -> None:
    whole = EncoderConfig(name="resnet34", frozen_children=8)
    with pytest.raises(UsageError, match=r"=8 leaves nothing of resnet34 to train: set 6, or auto; or .*frozen=true"):
        check_not_whole(whole)
    check_not_whole(whole.model_copy(update={"frozen": True}))
    check_not_whole(whole.model_copy(update={"frozen_children": 7}))


def test_the_recorded_config_has_the_number() -> None:
    resolved = resolve_auto(recipe("mnsa", "classifier").config)
    assert resolved.encoder.frozen_children == 8 and not resolved.encoder.frozen_bn_eval
    assert resolve_auto(resolved) == resolved
