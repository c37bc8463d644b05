"""Read checkpoints of PIM and HERBS in the format of their authors' code.

Shapes: D the module's width, N classes, J nodes of the combiner, K selected positions of all levels
together.
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
# Positions that the published configs select at each level, by their sum: PIM section 1 (CUB;
# NABirds) and section 13 (the sample config of flowers), HERBS section 0. A checkpoint has the sum
# only.
_SELECTIONS = {2720: (2048, 512, 128, 32), 480: (256, 128, 64, 32), 128: (32, 32, 32, 32)}
# Selected positions per node of the graph: PIM section 6, HERBS section 3.
_POSITIONS_PER_NODE = {"pim": 32, "herbs": 64}
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


def infer_plugin_config(
    given: Mapping[str, Tensor], system: System, *, keep: tuple[float, ...] | None, source: str
) -> tuple[PluginConfig, int]:
    """Return the plug-in module's config and number of classes, inferred from tensor shapes.

    Raises UserError with ``source`` if a tensor is missing or not one of the system's. Raises
    UsageError if the number of selected positions is not that of a published config and ``keep``
    does not give the positions by level.
    """
    pyramid = "fpn" if system == "pim" else "fpn_down"
    width = _dimension(given, f"{pyramid}.Proj_layer1.2.weight", 0, system=system, source=source)
    classes = _dimension(given, "combiner.classifier.weight", 0, system=system, source=source)
    selected = _dimension(given, "combiner.param_pool0.weight", 1, system=system, source=source)
    by_level = keep or _SELECTIONS.get(selected)
    if by_level is None:
        raise UsageError(
            f"{source} selects {selected} positions in all, unlike any published config: give --keep A,B,C,D"
        )
    if keep is not None and sum(keep) != selected:
        raise UsageError(
            f"keep sums up to {sum(keep):g}, but {source} selects {selected} positions: give all positions"
        )
    plugin = PluginConfig(
        width=width,
        keep=by_level,
        bottom_up=system == "herbs",
        rule="image" if system == "herbs" else "own",
        joint=_POSITIONS_PER_NODE[system],
        positions="learned" if f"{pyramid}.Up_layer2.weight" in given else "resize",
        pass_equal=system == "pim",
    )
    return plugin, classes


def load_published_weights(
    network: MultitaskNetwork, given: Mapping[str, Tensor], system: System, *, encoder: str, source: str
) -> None:
    """Load a checkpoint into the network, whose encoder is timm's ``encoder``.

    Weights that training never used are ignored: the backbone's classifier, its final norm and its
    masks. Raises UserError for the first other key that is missing, unknown or of another shape,
    with both shapes.
    """
    assert network.plugin is not None
    backbone = {key.removeprefix(_BACKBONE): value for key, value in given.items() if key.startswith(_BACKBONE)}
    load_encoder_weights(network.encoder.body, encoder, backbone, source=f"{source} (its backbone)")
    names = _names(system)
    expected = network.plugin.state_dict()
    found = {}
    for key, tensor in given.items():
        if key.startswith(_BACKBONE):
            continue
        ours = _our_name(key, names)
        if ours not in expected:
            raise UserError(f"{source} has `{key}`, which a {system} network of this encoder and size lacks")
        found[ours] = _as_linear(tensor, expected[ours])
        if found[ours].shape != expected[ours].shape:
            raise UserError(
                f"{source}: `{key}` has shape {tuple(tensor.shape)}, the network needs {tuple(expected[ours].shape)}:"
                " give the encoder, the image size and the classes that it was trained with"
            )
    if missing := [key for key in expected if key not in found and not key.endswith("num_batches_tracked")]:
        raise UserError(
            f"{source} lacks `{_published_name(missing[0], names)}` of shape {tuple(expected[missing[0]].shape)}"
        )
    network.plugin.load_state_dict(expected | found)


def _names(system: System) -> dict[str, str]:
    """Return the module's key prefix for each of the checkpoint's (PIM 13, HERBS 8)."""
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
    # Our index follows the order of the sums, from the deepest level.
    steps = {f"{pyramid}.Up_layer{level}": f"top_down.mixes.{4 - level}.matrix" for level in _LEVELS[1:]}
    return projections | steps


def _our_name(key: str, names: Mapping[str, str]) -> str:
    parts = key.split(".")
    prefix = ".".join(parts[:2]) if ".".join(parts[:2]) in names else parts[0]
    return names.get(prefix, "") + key.removeprefix(prefix)


def _published_name(ours: str, names: Mapping[str, str]) -> str:
    """Return the checkpoint's name of one of our keys."""
    return next(theirs + ours.removeprefix(name) for theirs, name in names.items() if f"{ours}.".startswith(f"{name}."))


def _as_linear(tensor: Tensor, like: Tensor) -> Tensor:
    """Return a convolution of kernel size 1 as a linear map."""
    kernel = tensor.shape[like.dim() :]
    return tensor.reshape(tensor.shape[: like.dim()]) if kernel and set(kernel) == {1} else tensor


def _dimension(given: Mapping[str, Tensor], key: str, axis: int, *, system: System, source: str) -> int:
    if key not in given:
        raise UserError(f"{source} lacks `{key}`, so it is not a checkpoint of {system}: give another file or --system")
    if given[key].dim() <= axis:
        raise UserError(f"{source}: `{key}` has shape {tuple(given[key].shape)}, which no checkpoint of {system} has")
    return int(given[key].shape[axis])
