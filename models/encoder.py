"""timm networks as encoders that return all feature levels in one pass.

Shapes: B batch, C channels, H W a level's size.
"""

import difflib
import functools
import math
from contextlib import nullcontext
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Self

import timm
import torch
from safetensors import SafetensorError
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..errors import UsageError, UserError
from .encoder_weights import load_encoder_weights, read_tensors
from .feature_taps import TokenLevels, has_patch_merging, is_plain_transformer, merged_levels, shift_to_merged
from .frozen_children import counted_children, frozen_count
from .hub_weights import explain_failure, hub_access
from .network_config import EncoderConfig
from .package_weights import read_packaged

# The options that make timm's transformers accept any image size. Other networks accept any size
# anyway and take neither option.
_ANY_SIZE: tuple[dict[str, Any], ...] = ({"dynamic_img_size": True}, {"strict_img_size": False})


class Encoder(nn.Module):
    """A timm feature network whose levels, shallow to deep, are always ``(B, C, H, W)``.

    ``channels`` is the number of the images' channels; ``out_channels`` and ``reductions`` (input
    side divided by level side) describe the levels.
    ``tokens`` is True for a transformer's levels: PIM mixes their positions in another way than
    those of a CNN. ``final_relu`` is True if the last level lacks its final ReLU. MGANet's DenseNet
    is like that, because its gate reads the BatchNorm's output; the caller then applies the ReLU
    after the gate.

    A ``frozen`` encoder has no gradients, builds no graph and stays in eval mode. ``merged`` reads
    a Swin after its patch mergings; other encoders ignore it.

    Raises UsageError if ``frozen_children`` exceeds the number of children.
    """

    def __init__(
        self,
        body: nn.Module,
        *,
        channels: int = 3,
        frozen_children: int = 0,
        frozen_bn_eval: bool = True,
        frozen: bool = False,
        merged: bool = False,
    ) -> None:
        super().__init__()
        info: Any = body.feature_info
        self.body = body
        self.channels = channels
        self._merged = merged and has_patch_merging(body)
        widths, reductions = tuple(info.channels()), tuple(info.reduction())
        self.out_channels: tuple[int, ...] = shift_to_merged(widths) if self._merged else widths
        self.reductions: tuple[int, ...] = shift_to_merged(reductions) if self._merged else reductions
        self._channels_last = getattr(body, "output_fmt", "NCHW") == "NHWC"
        self.tokens = self._channels_last or isinstance(body, TokenLevels)
        self.final_relu = _remove_final_relu(body, info.module_name()[-1])
        self._freeze(frozen_children, bn_eval=frozen_bn_eval, all_of_it=frozen)
        self.train(self.training)

    def forward(self, x_BCHW: Tensor) -> list[Tensor]:
        """Return the levels of normalised images ``(B, channels, H, W)``, shallow to deep."""
        with torch.no_grad() if self._frozen else nullcontext():
            levels = merged_levels(self.body, x_BCHW) if self._merged else self.body(x_BCHW)
        return [level.permute(0, 3, 1, 2) for level in levels] if self._channels_last else list(levels)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all parts but a frozen encoder and the BatchNorm of frozen children."""
        super().train(mode and not self._frozen)
        for child in self._bn_eval_children:
            for module in child.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def freeze_statistics(self) -> None:
        """Keep the running statistics of every BatchNorm permanently, by eval mode."""
        self._bn_eval_children = [self.body]
        self.train(self.training)

    def _freeze(self, count: int, *, bn_eval: bool, all_of_it: bool) -> None:
        children = list(counted_children(self.body))
        if count > len(children):
            raise UsageError(
                f"encoder.frozen_children={count}, but there are {len(children)} children: give at most that"
            )
        self._frozen = all_of_it
        self._bn_eval_children = children[:count] if bn_eval else []
        for part in [self.body] if all_of_it else children[:count]:
            part.requires_grad_(False)


def build_encoder(config: EncoderConfig, channels: int = 3) -> Encoder:
    """Build the encoder of ``config`` with its weights, for images of so many ``channels``.

    Pretrained weights of a first layer of three channels are repeated over the channels, scaled by
    3 / ``channels`` (timm's ``adapt_input_conv``), so that equal channels give the same features.

    Raises UsageError for a name that timm does not know or that has no feature levels, and
    UserError for weights that cannot be loaded or do not fit.
    """
    if not timm.is_model(config.name):
        near = difflib.get_close_matches(config.name, timm.list_models(), n=3) or ["resnet18"]
        raise UsageError(f"encoder {config.name!r} is not a timm model: did you mean {' or '.join(near)}?")
    given = _read_weights(config)
    body = _create(config.name, channels, from_hub=config.weights == "pretrained" and given is None)
    if given is not None:
        load_encoder_weights(body, config.name, given, source=f"encoder.weights={config.weights}")
    return Encoder(
        body,
        channels=channels,
        frozen_children=_frozen_children(body, config),
        frozen_bn_eval=config.frozen_bn_eval,
        frozen=config.frozen,
        merged=config.taps == "merged",
    )


def _frozen_children(body: nn.Module, config: EncoderConfig) -> int:
    return frozen_count(body, config.name) if config.frozen_children == "auto" else config.frozen_children


@functools.lru_cache(maxsize=64)
def level_sizes(config: EncoderConfig, size: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """Return height and width of every level for images of ``size``, without allocating weights.

    Raises UsageError for an image size that the encoder does not take.
    """
    with torch.device("meta"):
        encoder = build_encoder(config.model_copy(update={"weights": "none"})).eval()
        image_1CHW = torch.empty(1, 3, *size)
    try:
        with torch.no_grad():
            levels = encoder(image_1CHW)
    except (AssertionError, RuntimeError) as error:  # timm asserts sizes; torch rejects maps of no positions
        reason = str(error).strip().split("\n")[0]
        raise UsageError(
            f"encoder {config.name} does not take images of {size[0]}x{size[1]} pixels ({reason}):"
            f" {_size_advice(encoder.body, size)}"
        ) from error
    return tuple((int(level.shape[2]), int(level.shape[3])) for level in levels)


def _size_advice(body: nn.Module, size: tuple[int, int]) -> str:
    """Return the end of the message, with fitting sizes if the encoder cuts images into patches."""
    patches: Any = getattr(getattr(body, "model", body), "patch_embed", None)
    if not hasattr(patches, "strict_img_size"):
        return "change data.size or the encoder"
    height, width = patches.img_size
    if not patches.strict_img_size:
        height, width = (_nearest_multiple(side, patch) for side, patch in zip(size, patches.patch_size, strict=True))
    fitting = f"{height}" if height == width else f"{height}x{width}"
    return f"set data.size={fitting} or change the encoder"


def _nearest_multiple(side: int, patch: int) -> int:
    """Return the multiple of ``patch`` next to ``side``, at least 16, data.size's minimum."""
    return patch * max(round(side / patch), math.ceil(16 / patch))


def _read_weights(config: EncoderConfig) -> dict[str, Tensor] | None:
    """Return the weights of a file or an installed package; None for random ones or the hub's."""
    if config.weights == "none":
        return None
    return read_packaged(config.name) if config.weights == "pretrained" else read_tensors(Path(config.weights))


def _create(name: str, channels: int, *, from_hub: bool) -> nn.Module:
    try:
        with hub_access(name) if from_hub else nullcontext():
            return _create_any_size(name, pretrained=from_hub, in_chans=channels)
    except (OSError, ValueError, RuntimeError, SafetensorError, UnpicklingError) as error:
        reason = str(error).strip().split("\n")[0].split(". ")[0]
        if not from_hub:
            raise UsageError(f"encoder {name} has no feature levels ({reason}): choose another") from error
        raise UserError(explain_failure(name, reason)) from error


def _create_any_size(name: str, **given: Any) -> nn.Module:
    for options in _ANY_SIZE:
        try:
            return _create_levels(name, given | options)
        except TypeError:
            continue
    return _create_levels(name, given)


def _create_levels(name: str, options: dict[str, Any]) -> nn.Module:
    if is_plain_transformer(name):
        return TokenLevels(timm.create_model(name, num_classes=0, **options))
    return timm.create_model(name, features_only=True, **options)


def _remove_final_relu(body: nn.Module, last: str) -> bool:
    """Remove the ReLU of a last level that is a fused BatchNorm and ReLU.

    Returns whether there was one.
    """
    modules = dict(body.named_modules())
    norm = modules.get(last) or modules.get(last.replace(".", "_"))
    if not isinstance(norm, BatchNormAct2d) or not isinstance(norm.act, nn.ReLU):
        return False
    norm.act = nn.Identity()
    return True
