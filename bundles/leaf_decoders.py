"""Read decoders of XMNet and MNSA in the format of their authors' code.

Shapes: C channels of a level, A channels of its enhancement.
"""

import math
import re
from collections.abc import Mapping

from torch import Tensor

from ..errors import UserError
from ..models.network import MultitaskNetwork
from ..models.network_config import DecoderConfig, WidthsConfig

# The first level whose skip is gated; a checkpoint has the gates of all levels.
GATE_FROM = 3

_PUBLISHED_WIDTHS = (1 / 16, 1 / 8, 1 / 4)
_PUBLISHED_TRANSFERS = (0.0, 0.125, 0.25, 0.5)
# The enhancer's branches by their names in the checkpoint, in the order of ours.
_BRANCHES = {
    "deconv_layers_3": "deform3",
    "deconv_layers_5": "deform5",
    "atrous_conv_layers_2": "atrous2",
    "atrous_conv_layers_3": "atrous3",
    "max_min_expan_layers": "meanmax",
}
_DEFORMABLE = {"deform_conv": "conv", "offset_generator": "offset"}
_UNET_CONVS = {"0": "conv1", "2": "conv2"}
_MNSA_CONVS = {"1.0": "conv1", "1.1": "norm1", "2.0": "conv2", "2.1": "norm2"}
_LAYER = re.compile(r"decoder_layers\.(\d)\.layers\.(.+)")
_OTHER = re.compile(rf"({'|'.join(_BRANCHES)}|tranformers|atten_layers)\.(\d)\.(.+)")


def decoder_config(given: Mapping[str, Tensor], *, gate_from: int, source: str) -> DecoderConfig | None:
    """Return the config of a checkpoint's decoder, by its tensors; None if it has no known one.

    MNSA's widths and its ratio of compression are those of the shapes, the published ones where
    they fit. ``gate_from`` is XMNet's first level with a gate. Raises UserError with ``source`` if
    a part of MNSA's enhancement is missing.
    """
    if "center2.weight" in given and "deconv_layers_3.1.deform_conv.weight" in given:
        return _mnsa_config(given, source)
    kinds = {"decoder_layers.1.layers.1.4.weight": "unet", "decoder_layers.1.layers.6.weight": "unet3p_ref"}
    kind = next((kind for key, kind in kinds.items() if key in given), None)
    # A prototype of the authors has deformable convolutions in place of the gates.
    if kind is None or "offset_layers.1.weight" in given:
        return None
    return DecoderConfig.model_validate({"kind": kind, "gate_from": gate_from})


def check_system(decoder: DecoderConfig | None, system: str, source: str) -> None:
    """Raise UserError with ``source`` if a checkpoint's decoder is that of the other system."""
    owner = None if decoder is None else "mnsa" if decoder.kind == "mnsa" else "xmnet"
    if owner not in (None, system):
        raise UserError(f"{source} has a decoder of {owner}, not of {system}: give --system {owner}")


def load_decoder(network: MultitaskNetwork, given: Mapping[str, Tensor], *, source: str) -> set[str]:
    """Load a checkpoint's decoder into the network's; return the names of its tensors.

    Gates before the first gated level are not used, nor is a U-Net 3+'s centre. Raises UserError
    with ``source`` for the first tensor that is missing or does not fit, with both shapes.
    """
    assert network.decoder is not None
    names = {key: ours for key in given if (ours := _our_name(key, given)) is not None}
    by_ours = {ours: key for key, ours in names.items()}
    state = network.decoder.state_dict()
    for ours, tensor in state.items():
        key = by_ours.get(ours)
        if key is None and ours.endswith("num_batches_tracked"):
            continue
        if key is None or given[key].shape != tensor.shape:
            has = "nothing" if key is None else f"`{key}` of shape {tuple(given[key].shape)}"
            raise UserError(f"{source}: the decoder's {ours} needs shape {tuple(tensor.shape)}, the file has {has}")
        state[ours] = given[key]
    network.decoder.load_state_dict(state)
    return set(names)


def _mnsa_config(given: Mapping[str, Tensor], source: str) -> DecoderConfig:
    def sizes(part: str, inner: str, axis: int = 0) -> list[int]:
        keys = [f"{part}.{level}.{inner}weight" for level in range(1, 6)]
        if missing := [key for key in keys if key not in given or given[key].dim() != 4]:
            raise UserError(f"{source} lacks `{missing[0]}` of a decoder of MNSA: give the whole checkpoint")
        return [given[key].shape[axis] for key in keys]

    channels = sizes("deconv_layers_3", "offset_generator.0.", 1)
    widths, sums = {}, [0] * len(channels)
    for theirs, ours in _BRANCHES.items():
        outs = sizes(theirs, "deform_conv." if theirs.startswith("deconv") else "")
        sums = [total + out for total, out in zip(sums, outs, strict=True)]
        fitting = [w for w in _PUBLISHED_WIDTHS if outs == [math.floor(w * count) for count in channels]]
        widths[ours] = fitting[0] if fitting else outs[-1] / channels[-1]
    kept = sizes("tranformers", "")
    ratios = [t for t in _PUBLISHED_TRANSFERS if kept == [max(1, math.floor(t * total)) for total in sums]]
    transfer = ratios[0] if ratios else kept[-1] / sums[-1]
    return DecoderConfig(kind="mnsa", widths=WidthsConfig(**widths), transfer=transfer)


def _our_name(key: str, given: Mapping[str, Tensor]) -> str | None:
    """Return our name of a decoder's tensor; None for one of another part."""
    name, _, rest = key.partition(".")
    if name in ("center", "center2"):
        deep = {"center": "center.0", "center2": "center.1"} if "center2.weight" in given else {"center": "center"}
        return f"{deep.get(name, name)}.{rest}"
    if found := _OTHER.fullmatch(key):
        part, level, rest = found[1], int(found[2]) - 1, found[3]
        if part == "tranformers":
            return f"transfers.{level}.{rest}"
        if part == "atten_layers":
            return f"gates.{level}.weigh.{rest}"
        inner, dot, tail = rest.partition(".")
        return f"enhancers.{level}.branches.{_BRANCHES[part]}.{_DEFORMABLE.get(inner, inner)}{dot}{tail}"
    found = _LAYER.fullmatch(key)
    return None if found is None else _layer_name(int(found[1]) - 1, found[2], given)


def _layer_name(level: int, rest: str, given: Mapping[str, Tensor]) -> str:
    """Return our name of a tensor of the block at ``level``; ``rest`` is its name in the block."""
    layer, _, parameter = rest.rpartition(".")
    if "center2.weight" in given:
        return f"head.{parameter}" if layer == "2.3" else f"blocks.{level}.{_MNSA_CONVS.get(layer, layer)}.{parameter}"
    if "decoder_layers.1.layers.6.weight" not in given:
        inner = layer.removeprefix("1.")
        return f"head.{parameter}" if inner == "4" else f"blocks.{level}.{_UNET_CONVS.get(inner, inner)}.{parameter}"
    branch, dot, inner = layer.partition(".")
    if branch == "6":
        return f"nodes.{level}.fuse{dot}{inner}.{parameter}"
    return f"nodes.{level}.branches.{int(branch) - 1}.{parameter}"
