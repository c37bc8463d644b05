"""Write a booster as an ONNX graph: features in, class probabilities out, all steps included.

The graph standardises the features (and rounds them for trees), then adds up leaves or weights, and
takes the softmax. Any ONNX runtime answers as XGBoost does, within rounding.

Shapes: N images, C features, K classes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ..trials.booster import DECIMALS, Booster

FEATURES, PROBABILITIES = "features", "probabilities"
_OPSETS = {"": 20, "ai.onnx.ml": 3}


def write_booster_graph(booster: Booster, path: Path) -> None:
    """Write the booster's graph to ``path``."""
    steps, trees = _Steps(), booster.trees()
    mean_C, scale_C = booster.scaling()
    value = steps.add("Div", steps.add("Sub", FEATURES, steps.constant(mean_C)), steps.constant(scale_C))
    if trees is None:
        # XGBoost adds the first base score to all classes here, which the softmax cancels.
        weight_CK, bias_K = booster.weights()
        value = steps.add("MatMul", value, steps.constant(weight_CK))
    else:
        bias_K = np.broadcast_to(booster.base_score(), booster.num_classes)
        power = steps.constant(np.float32(10**DECIMALS))
        value = steps.add("Div", steps.add("Round", steps.add("Mul", value, power)), power)
        ensemble = _ensemble(trees, booster.num_classes)
        value = steps.add("TreeEnsembleRegressor", value, domain="ai.onnx.ml", **ensemble)
    value = steps.add("Add", value, steps.constant(bias_K))
    steps.nodes.append(helper.make_node("Softmax", [value], [PROBABILITIES], axis=1))
    graph = helper.make_graph(
        steps.nodes,
        "booster",
        [helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["batch", booster.num_features])],
        [helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, ["batch", booster.num_classes])],
        steps.constants,
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in _OPSETS.items()]
    # Version 9 of the format is the first with opset 20.
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9, producer_name="venation")
    onnx.checker.check_model(model)
    onnx.save(model, path)


class _Steps:
    """The nodes and constants of a graph under construction."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node, and return the name of its output."""
        output = f"step{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def constant(self, values: NDArray[Any] | np.float32) -> str:
        """Add a float32 constant, and return its name."""
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
        return name


def _ensemble(trees: Sequence[dict[str, Any]], classes: int) -> dict[str, Any]:
    """Return the attributes of a TreeEnsembleRegressor; tree t adds to class t modulo K.

    A value below the threshold goes to the left, the ``true`` branch, as in XGBoost.
    """
    sizes = [len(tree["left_children"]) for tree in trees]
    joined = {
        name: np.concatenate([tree[name] for tree in trees])
        for name in ("left_children", "right_children", "split_indices")
    }
    value = np.concatenate([np.asarray(tree["split_conditions"], np.float32) for tree in trees])
    drop = np.repeat(np.array([tree["weight"] for tree in trees], np.float32), sizes)
    tree_of, node_of = np.repeat(np.arange(len(trees)), sizes), np.concatenate([np.arange(size) for size in sizes])
    leaf = joined["left_children"] < 0
    inner = {name: np.where(leaf, 0, part).tolist() for name, part in joined.items()}
    return {
        "n_targets": classes,
        "aggregate_function": "SUM",
        "post_transform": "NONE",
        "nodes_treeids": tree_of.tolist(),
        "nodes_nodeids": node_of.tolist(),
        "nodes_featureids": inner["split_indices"],
        "nodes_values": np.where(leaf, 0, value).tolist(),
        "nodes_modes": np.where(leaf, "LEAF", "BRANCH_LT").tolist(),
        "nodes_truenodeids": inner["left_children"],
        "nodes_falsenodeids": inner["right_children"],
        "nodes_missing_value_tracks_true": [0] * len(leaf),
        "nodes_hitrates": [1.0] * len(leaf),
        "target_treeids": tree_of[leaf].tolist(),
        "target_nodeids": node_of[leaf].tolist(),
        "target_ids": (tree_of[leaf] % classes).tolist(),
        "target_weights": (value * drop)[leaf].tolist(),
    }
