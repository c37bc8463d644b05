"""timm networks as encoders: one pass gives every level.

Shapes: B batch, C channels, H W a level's size.
"""

import difflib
import functools
import math
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Self

import timm
import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..errors import UsageError, UserError
from .encoder_weights import hub_that_answers, load_encoder_weights, read_tensors
from .feature_taps import TokenLevels, has_merging, is_plain, merged_levels, shift
from .network_config import EncoderConfig

# What makes timm's transformers take any image size; other networks take it anyway and know neither word.
_ANY_SIZE: tuple[dict[str, Any], ...] = ({"dynamic_img_size": True}, {"strict_img_size": False})


class Encoder(nn.Module):
    """A timm feature network whose levels, shallow to deep, are always ``(B, C, H, W)``.

    ``out_channels`` and ``reductions`` (input side over level side) describe the levels. ``tokens`` says that they are
    a transformer's: PIM mixes their positions otherwise than those of a CNN's maps. ``final_relu`` says that the
    last level stops before its ReLU, as the DenseNet of MGANet does (its gate reads the BatchNorm's output): who
    classifies from it applies the ReLU after the gate. A ``frozen`` encoder has no gradients, builds no graph and stays
    in eval mode. ``merged`` reads a Swin after its patch mergings and changes nothing elsewhere.

    Raises UsageError for more ``frozen_children`` than there are.
    """

    def __init__(
        self,
        body: nn.Module,
        *,
        frozen_children: int = 0,
        frozen_bn_eval: bool = True,
        frozen: bool = False,
        merged: bool = False,
    ) -> None:
        super().__init__()
        info: Any = body.feature_info
        self.body = body
        self._merged = merged and has_merging(body)
        channels, reductions = tuple(info.channels()), tuple(info.reduction())
        self.out_channels: tuple[int, ...] = shift(channels) if self._merged else channels
        self.reductions: tuple[int, ...] = shift(reductions) if self._merged else reductions
        self._channels_last = getattr(body, "output_fmt", "NCHW") == "NHWC"
        self.tokens = self._channels_last or isinstance(body, TokenLevels)
        self.final_relu = _open_final_relu(body, info.module_name()[-1])
        self._freeze(frozen_children, bn_eval=frozen_bn_eval, all_of_it=frozen)
        self.train(self.training)

    def forward(self, x_BCHW: Tensor) -> list[Tensor]:
        """Normalised images ``(B, 3, H, W)`` -> levels, shallow to deep."""
        with torch.no_grad() if self._frozen else nullcontext():
            levels = merged_levels(self.body, x_BCHW) if self._merged else self.body(x_BCHW)
        return [level.permute(0, 3, 1, 2) for level in levels] if self._channels_last else list(levels)

    def train(self, mode: bool = True) -> Self:
        """Switch to training mode, except for a frozen encoder, and for the BatchNorm of frozen children."""
        super().train(mode and not self._frozen)
        for child in self._still:
            for module in child.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def _freeze(self, count: int, *, bn_eval: bool, all_of_it: bool) -> None:
        children = list(_counted_children(self.body))
        if count > len(children):
            raise UsageError(
                f"encoder.frozen_children={count}, but there are {len(children)} children: give at most that"
            )
        self._frozen = all_of_it
        self._still = children[:count] if bn_eval else []
        for part in [self.body] if all_of_it else children[:count]:
            part.requires_grad_(False)


def build_encoder(config: EncoderConfig) -> Encoder:
    """The encoder of ``config`` with its weights.

    Raises UsageError for a name that timm does not know or cannot take levels from, UserError for weights that cannot
    be had or do not fit.
    """
    if not timm.is_model(config.name):
        near = difflib.get_close_matches(config.name, timm.list_models(), n=3) or ["resnet18"]
        raise UsageError(f"encoder {config.name!r} is not one that timm knows: did you mean {' or '.join(near)}?")
    body = _create(config.name, pretrained=config.weights == "pretrained")
    if config.weights not in ("none", "pretrained"):
        source = f"encoder.weights={config.weights}"
        load_encoder_weights(body, config.name, read_tensors(Path(config.weights)), source=source)
    return Encoder(
        body,
        frozen_children=config.frozen_children,
        frozen_bn_eval=config.frozen_bn_eval,
        frozen=config.frozen,
        merged=config.taps == "merged",
    )


@functools.lru_cache(maxsize=64)
def level_sizes(config: EncoderConfig, size: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """Height and width of every level for images of ``size``; nothing is allocated and no weights are read.

    Raises UsageError for an image size that the encoder does not take.
    """
    with torch.device("meta"):
        encoder = build_encoder(config.model_copy(update={"weights": "none"})).eval()
        image_1CHW = torch.empty(1, 3, *size)
    try:
        with torch.no_grad():
            levels = encoder(image_1CHW)
    except (AssertionError, RuntimeError) as error:  # timm asserts sizes, torch refuses maps that shrink to nothing
        reason = str(error).strip().split("\n")[0]
        raise UsageError(
            f"encoder {config.name} takes no images of {size[0]}x{size[1]} pixels ({reason}):"
            f" {_remedy(encoder.body, size)}"
        ) from error
    return tuple((int(level.shape[2]), int(level.shape[3])) for level in levels)


def _remedy(body: nn.Module, size: tuple[int, int]) -> str:
    """What to do about ``size``, exactly where the encoder cuts images into patches of one size."""
    patches: Any = getattr(getattr(body, "model", body), "patch_embed", None)
    if not hasattr(patches, "strict_img_size"):
        return "change data.size or the encoder"
    height, width = patches.img_size
    if not patches.strict_img_size:
        height, width = (_fit(side, patch) for side, patch in zip(size, patches.patch_size, strict=True))
    fitting = f"{height}" if height == width else f"{height}x{width}"
    return f"set data.size={fitting} or change the encoder"


def _fit(side: int, patch: int) -> int:
    """The multiple of ``patch`` next to ``side``, at least 16 pixels, the smallest that data.size takes."""
    return patch * max(round(side / patch), math.ceil(16 / patch))


def _create(name: str, *, pretrained: bool) -> nn.Module:
    try:
        with hub_that_answers() if pretrained else nullcontext():
            return _create_any_size(name, pretrained=pretrained)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0].split(". ")[0]
        if not pretrained:
            raise UsageError(f"encoder {name} gives no feature levels ({reason}): choose another") from error
        raise UserError(
            f"the pretrained weights of {name} cannot be had ({reason}): "
            "bring a file with encoder.weights=FILE.safetensors, or set encoder.weights=none"
        ) from error


def _create_any_size(name: str, *, pretrained: bool) -> nn.Module:
    for options in _ANY_SIZE:
        try:
            return _create_levels(name, pretrained=pretrained, options=options)
        except TypeError:
            continue
    return _create_levels(name, pretrained=pretrained, options={})


def _create_levels(name: str, *, pretrained: bool, options: dict[str, Any]) -> nn.Module:
    if is_plain(name):
        return TokenLevels(timm.create_model(name, pretrained=pretrained, num_classes=0, **options))
    return timm.create_model(name, pretrained=pretrained, features_only=True, **options)


def _counted_children(body: nn.Module) -> Iterator[nn.Module]:
    """Top-level children in order, counted as torchvision lists them (XMNet's and MGANet's freezing thresholds).

    A norm fused with its activation is two there; stages that are grouped in one container are listed block by block.
    """
    children = list(body.children())
    if len(children) == 1:
        children = list(children[0].children())
    for child in children:
        if _is_stages(child):
            yield from (block for stage in child.children() for block in stage.children())
        elif isinstance(child, BatchNormAct2d) and not isinstance(child.act, nn.Identity):
            yield from (child, child)
        else:
            yield child


def _is_stages(module: nn.Module) -> bool:
    return type(module) is nn.Sequential and all(type(stage) is nn.Sequential for stage in module.children())


def _open_final_relu(body: nn.Module, last: str) -> bool:
    """Take the ReLU off a last level that is one fused BatchNorm and ReLU; whether there was one to take."""
    modules = dict(body.named_modules())
    norm = modules.get(last) or modules.get(last.replace(".", "_"))
    if not isinstance(norm, BatchNormAct2d) or not isinstance(norm.act, nn.ReLU):
        return False
    norm.act = nn.Identity()
    return True
