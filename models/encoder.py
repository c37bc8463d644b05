"""timm networks as encoders: one pass gives every level.

Shapes: B batch, C channels, H W a level's size.
"""

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import timm
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..errors import UsageError, UserError
from .config import EncoderConfig

# What makes timm's transformers take any image size; other networks take it anyway and know neither word.
_ANY_SIZE: tuple[dict[str, Any], ...] = ({"dynamic_img_size": True}, {"strict_img_size": False})


class Encoder(nn.Module):
    """A timm feature network whose levels, shallow to deep, are always ``(B, C, H, W)``.

    ``out_channels`` and ``reductions`` (input side over level side) describe the levels. ``final_relu`` says that the
    last level stops before its ReLU, as the DenseNet of MGANet does (its gate reads the BatchNorm's output): who
    classifies from it applies the ReLU after the gate.
    """

    def __init__(self, body: nn.Module, *, frozen_children: int = 0, frozen_bn_eval: bool = True) -> None:
        super().__init__()
        info: Any = body.feature_info
        self.body = body
        self.out_channels: tuple[int, ...] = tuple(info.channels())
        self.reductions: tuple[int, ...] = tuple(info.reduction())
        self._channels_last = getattr(body, "output_fmt", "NCHW") == "NHWC"
        children = list(_counted_children(body))
        if frozen_children > len(children):
            raise UsageError(
                f"encoder.frozen_children={frozen_children}, but there are {len(children)} children: give at most that"
            )
        self.final_relu = _open_final_relu(body, info.module_name()[-1])
        self._frozen = children[:frozen_children]
        self._still = self._frozen if frozen_bn_eval else []
        for child in self._frozen:
            child.requires_grad_(False)
        self.train(self.training)

    def forward(self, x_BCHW: Tensor) -> list[Tensor]:
        """Normalised images ``(B, 3, H, W)`` -> levels, shallow to deep."""
        levels = self.body(x_BCHW)
        return [level.permute(0, 3, 1, 2) for level in levels] if self._channels_last else list(levels)

    def train(self, mode: bool = True) -> Self:
        """Switch to training mode, except for the BatchNorm of frozen children."""
        super().train(mode)
        for child in self._still:
            for module in child.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self


def build_encoder(config: EncoderConfig) -> Encoder:
    """The encoder of ``config`` with its weights.

    Raises UsageError for a name that timm does not know or cannot take levels from, UserError for weights that cannot
    be had or do not fit.
    """
    if not timm.is_model(config.name):
        near = difflib.get_close_matches(config.name, timm.list_models(), n=3) or ["resnet18"]
        raise UsageError(f"encoder {config.name!r} is not one that timm knows: did you mean {' or '.join(near)}?")
    encoder = Encoder(
        _create(config.name, pretrained=config.weights == "pretrained"),
        frozen_children=config.frozen_children,
        frozen_bn_eval=config.frozen_bn_eval,
    )
    if config.weights not in ("none", "pretrained"):
        _load_weights(encoder.body, Path(config.weights))
    return encoder


def _create(name: str, *, pretrained: bool) -> nn.Module:
    try:
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
            return timm.create_model(name, pretrained=pretrained, features_only=True, **options)
        except TypeError:
            continue
    return timm.create_model(name, pretrained=pretrained, features_only=True)


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


def _load_weights(body: nn.Module, path: Path) -> None:
    try:
        given = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"encoder.weights={path} is no readable safetensors file ({error}): give another") from error
    body.load_state_dict(_matched(body.state_dict(), given, path))


def _matched(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """``given`` under the names of ``wanted``: timm's flattening of ``a.b`` to ``a_b`` and our own prefix are undone.

    Keys of the file beyond those, such as a head's, are left out. Raises UserError for the first missing or unfit key.
    """
    by_name = {_plain(key): tensor for key, tensor in given.items()}
    found = {}
    for key, tensor in wanted.items():
        candidate = by_name.get(_plain(key))
        if candidate is None and key.endswith("num_batches_tracked"):
            candidate = tensor
        if candidate is None or candidate.shape != tensor.shape:
            holds = "nothing" if candidate is None else str(tuple(candidate.shape))
            raise UserError(
                f"encoder.weights={path} does not fit: {key} needs {tuple(tensor.shape)}, the file holds {holds}: "
                "give the weights of this encoder, or set encoder.weights=none"
            )
        found[key] = candidate
    return found


def _plain(key: str) -> str:
    return key.removeprefix("encoder.").removeprefix("body.").replace(".", "_")
