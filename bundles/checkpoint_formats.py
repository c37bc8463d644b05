"""Checkpoints of PIM and HERBS as their authors write them: what they hold, under which names, and as what here.

Shapes: D the module's width, N classes, J nodes of the combiner, K selected positions of all levels together.
"""

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from ..errors import UsageError, UserError
from ..models.encoder_weights import load_encoder_weights
from ..models.network import MultitaskNetwork
from ..models.network_config import PluginConfig

System = Literal["pim", "herbs"]

_LEVELS = range(1, 5)
_BACKBONE = "backbone."
# Positions that the published configs select at each level, by their sum: PIM section 1 (CUB; NABirds) and section 13
# (the sample config of flowers), HERBS section 0. A checkpoint holds the sum alone.
_KEPT = {2720: (2048, 512, 128, 32), 480: (256, 128, 64, 32), 128: (32, 32, 32, 32)}
# Selected positions a node of the graph: PIM section 6, HERBS section 3.
_JOINT = {"pim": 32, "herbs": 64}
_COMBINER = {
    "param_pool0": "pool_ranks",
    "adj1": "adjacency",
    "alpha1": "alpha",
    "conv1": "graph",
    "batch_norm1": "norm",
    "conv_q1": "query",
    "conv_k1": "key",
    "param_pool1": "pool_nodes",
    "classifier": "classifier",
}


def published_plugin(
    given: Mapping[str, Tensor], system: System, *, keep: tuple[float, ...] | None, source: str
) -> tuple[PluginConfig, int]:
    """The plug-in module that a checkpoint was made with, and its number of classes, from the tensors' shapes.

    Raises UserError that names ``source`` where a tensor is missing or none of the system's, UsageError where the
    selected positions by level are none that are published and ``keep`` does not give them.
    """
    pyramid = "fpn" if system == "pim" else "fpn_down"
    width = _dimension(given, f"{pyramid}.Proj_layer1.2.weight", 0, system=system, source=source)
    classes = _dimension(given, "combiner.classifier.weight", 0, system=system, source=source)
    kept = _dimension(given, "combiner.param_pool0.weight", 1, system=system, source=source)
    wanted = keep or _KEPT.get(kept)
    if wanted is None:
        raise UsageError(f"{source} selects {kept} positions in all, as no published config does: give --keep A,B,C,D")
    if keep is not None and sum(keep) != kept:
        raise UsageError(f"keep sums up to {sum(keep):g}, but {source} selects {kept} positions: give those it has")
    plugin = PluginConfig(
        width=width,
        keep=wanted,
        bottom_up=system == "herbs",
        rule="image" if system == "herbs" else "own",
        joint=_JOINT[system],
        positions="learned" if f"{pyramid}.Up_layer2.weight" in given else "resize",
        pass_equal=system == "pim",
    )
    return plugin, classes


def load_published(
    network: MultitaskNetwork, given: Mapping[str, Tensor], system: System, *, encoder: str, source: str
) -> None:
    """Fill the network, whose encoder is timm's ``encoder``, from a checkpoint.

    What training never used is left out: the backbone's classifier, its final norm and its masks. Raises UserError for
    the first other key that is missing, unknown or of another shape, with both shapes.
    """
    assert network.plugin is not None
    backbone = {key.removeprefix(_BACKBONE): value for key, value in given.items() if key.startswith(_BACKBONE)}
    load_encoder_weights(network.encoder.body, encoder, backbone, source=f"{source} (its backbone)")
    names = _names(system)
    wanted = network.plugin.state_dict()
    found = {}
    for key, tensor in given.items():
        if key.startswith(_BACKBONE):
            continue
        ours = _translated(key, names)
        if ours not in wanted:
            raise UserError(f"{source} holds `{key}`, which a {system} network of this encoder and size lacks")
        found[ours] = _as_linear(tensor, wanted[ours])
        if found[ours].shape != wanted[ours].shape:
            raise UserError(
                f"{source}: `{key}` has shape {tuple(tensor.shape)}, the network needs {tuple(wanted[ours].shape)}:"
                " give the encoder, the image size and the classes that it was trained with"
            )
    if missing := [key for key in wanted if key not in found and not key.endswith("num_batches_tracked")]:
        raise UserError(f"{source} lacks `{_original(missing[0], names)}` of shape {tuple(wanted[missing[0]].shape)}")
    network.plugin.load_state_dict(wanted | found)


def _names(system: System) -> dict[str, str]:
    """Prefixes of the checkpoint's keys -> those of the plug-in module's (PIM section 13, HERBS section 8)."""
    combiner = {f"combiner.{theirs}": f"combiner.{ours}" for theirs, ours in _COMBINER.items()}
    if system == "pim":
        heads = {f"fpn_classifier_layer{level}": f"heads.{level - 1}" for level in _LEVELS}
        return combiner | heads | _top_down("fpn")
    heads = {f"fpn_classifier_up_layer{level}": f"heads.{level - 1}" for level in _LEVELS}
    heads |= {f"fpn_classifier_down_layer{level}": f"first_heads.{level - 1}" for level in _LEVELS}
    projections = {f"fpn_up.Proj_layer{level}": f"bottom_up.projections.{level - 1}" for level in _LEVELS}
    steps = {f"fpn_up.Down_layer{level}": f"bottom_up.mixes.{level - 1}.matrix" for level in _LEVELS[:3]}
    return combiner | heads | _top_down("fpn_down") | projections | steps


def _top_down(pyramid: str) -> dict[str, str]:
    projections = {f"{pyramid}.Proj_layer{level}": f"top_down.projections.{level - 1}" for level in _LEVELS}
    # Ours are counted in the order of the sums, from the deepest level.
    steps = {f"{pyramid}.Up_layer{level}": f"top_down.mixes.{4 - level}.matrix" for level in _LEVELS[1:]}
    return projections | steps


def _translated(key: str, names: Mapping[str, str]) -> str:
    parts = key.split(".")
    prefix = ".".join(parts[:2]) if ".".join(parts[:2]) in names else parts[0]
    return names.get(prefix, "") + key.removeprefix(prefix)


def _original(ours: str, names: Mapping[str, str]) -> str:
    """What one of our keys is called in the checkpoint."""
    return next(theirs + ours.removeprefix(name) for theirs, name in names.items() if f"{ours}.".startswith(f"{name}."))


def _as_linear(tensor: Tensor, like: Tensor) -> Tensor:
    """A convolution of kernel 1 as the linear map that it is."""
    kernel = tensor.shape[like.dim() :]
    return tensor.reshape(tensor.shape[: like.dim()]) if kernel and set(kernel) == {1} else tensor


def _dimension(given: Mapping[str, Tensor], key: str, axis: int, *, system: System, source: str) -> int:
    if key not in given:
        raise UserError(
            f"{source} lacks `{key}`, so it is no checkpoint of {system}: give another, or its own --system"
        )
    if given[key].dim() <= axis:
        raise UserError(f"{source}: `{key}` has shape {tuple(given[key].shape)}, which no checkpoint of {system} has")
    return int(given[key].shape[axis])
