"""Check the structure of a booster's file before XGBoost reads it, and seal its bytes.

XGBoost follows the indices in a file without a look: a forged or damaged one ends the process or
takes all memory. Only models that ``boost`` trains pass: ``multi:softprob`` by gbtree, dart or
gblinear. Fields are those that XGBoost 3.0 to 3.2 reads.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .ubjson import read_ubjson

# The attribute with the sha256 of the file in which the attribute's own value is all zeros.
SEAL = "venation_sha256"
UNSEALED = "0" * 64

_MAX_DEPTH = 64
_MAX_CLASSES = 100_000
_NO_PARENT = np.iinfo(np.int32).max
_FLOATS = ("base_weights", "loss_changes", "split_conditions", "sum_hessian")
_INTEGERS = ("default_left", "left_children", "parents", "right_children", "split_indices", "split_type")
_EMPTY = ("categories", "categories_nodes", "categories_segments", "categories_sizes")


def seal(content: bytes) -> bytes:
    """Return the file with its sha256 in place of the zeros of ``SEAL``."""
    return content.replace(UNSEALED.encode(), hashlib.sha256(content).hexdigest().encode(), 1)


def check_format(content: bytes, attributes: Sequence[str]) -> None:
    """Check all of a booster's file. Raises ValueError with the reason.

    It has ``attributes`` and ``SEAL``; files of version 0.1 have no seal.
    """
    model = _mapping(read_ubjson(content), "content")
    version: Any = model.get("version")
    _need(isinstance(version, list) and len(version) == 3 and _whole(version[0]) and version[0] >= 3, "version")
    learner = _mapping(model.get("learner"), "learner")
    _check_attributes(content, _mapping(learner.get("attributes"), "attributes"), attributes)
    parameters = _mapping(learner.get("learner_model_param"), "learner_model_param")
    features, classes = _number(parameters, "num_feature"), _number(parameters, "num_class")
    _need(features >= 1 and 2 <= classes <= _MAX_CLASSES, "number of features or classes")
    _need(_number(parameters, "num_target") == 1, "num_target")
    _check_base_score(parameters.get("base_score"), classes)
    objective = _mapping(learner.get("objective"), "objective")
    of_objective = _mapping(objective.get("softmax_multiclass_param"), "softmax_multiclass_param")
    _need(objective.get("name") == "multi:softprob" and _number(of_objective, "num_class") == classes, "objective")
    _need(all(_empty(learner.get(name)) for name in ("feature_names", "feature_types")), "feature names")
    _check_booster(_mapping(learner.get("gradient_booster"), "gradient_booster"), features, classes)


def _check_attributes(content: bytes, found: Mapping[str, Any], allowed: Sequence[str]) -> None:
    _need(found.keys() - {SEAL} == set(allowed), "attributes")
    _need(all(isinstance(value, str) for value in found.values()), "attributes")
    if SEAL in found:
        digest = found[SEAL].encode()
        unsealed = content.replace(digest, UNSEALED.encode(), 1) if len(digest) == len(UNSEALED) else content
        _need(hashlib.sha256(unsealed).hexdigest().encode() == digest, "sha256")


def _check_base_score(text: Any, classes: int) -> None:
    """Check one number, as XGBoost 3.0 writes it, or a list of one number for each class."""
    _need(isinstance(text, str), "base_score")
    scores = [float(part) for part in text.removeprefix("[").removesuffix("]").split(",")]
    _need(len(scores) in (1, classes) and bool(np.isfinite(scores).all()), "base_score")


def _check_booster(booster: Mapping[str, Any], features: int, classes: int) -> None:
    match booster.get("name"):
        case "gblinear":
            model = _mapping(booster.get("model"), "model")
            _need(_whole(model.get("boosted_rounds")) and model["boosted_rounds"] >= 0, "boosted_rounds")
            _floats(model, "weights", (features + 1) * classes)
        case "gbtree":
            _check_trees(booster, features, classes)
        case "dart":
            trees = _check_trees(_mapping(booster.get("gbtree"), "gbtree"), features, classes)
            weights: Any = booster.get("weight_drop")
            _need(_numbers(weights) and len(weights) == trees and np.isfinite(weights).all(), "weight_drop")
        case _:
            raise ValueError("its kind is unknown")


def _check_trees(booster: Mapping[str, Any], features: int, classes: int) -> int:
    """Check all trees at once, and return their number."""
    _need(booster.get("name") == "gbtree", "name of trees")
    model = _mapping(booster.get("model"), "model")
    trees: Any = model.get("trees")
    _need(isinstance(trees, list) and len(trees) > 0, "trees")
    parameters = _mapping(model.get("gbtree_model_param"), "gbtree_model_param")
    _need(_number(parameters, "num_trees") == len(trees), "num_trees")
    _need(_number(parameters, "num_parallel_tree") == 1, "num_parallel_tree")
    # A round has one tree for each class, in the order of the classes.
    rounds, rest = divmod(len(trees), classes)
    _need(rest == 0 and _equal(model.get("tree_info"), np.tile(np.arange(classes), rounds)), "tree_info")
    _need(_equal(model.get("iteration_indptr"), np.arange(rounds + 1) * classes), "iteration_indptr")
    categories = model.get("cats", {})
    _need(isinstance(categories, dict) and all(map(_empty, categories.values())), "cats")
    sizes = np.array([_tree_size(_mapping(tree, "tree"), features) for tree in trees])
    # XGBoost stores a tree at its id, and leaves holes.
    _need(_equal([tree.get("id") for tree in trees], np.arange(len(trees))), "id of a tree")
    _check_nodes({name: np.concatenate([tree[name] for tree in trees]) for name in _INTEGERS}, sizes, features)
    return len(trees)


def _tree_size(tree: dict[str, Any], features: int) -> int:
    """Return the number of nodes of a tree after a check of the lengths of its arrays."""
    parameters = _mapping(tree.get("tree_param"), "tree_param")
    size = _number(parameters, "num_nodes")
    _need(size >= 1 and _number(parameters, "num_deleted") == 0, "num_nodes")
    _need(_number(parameters, "num_feature") == features, "num_feature of a tree")
    _need(_number(parameters, "size_leaf_vector") in (0, 1), "size_leaf_vector")
    _need(all(_empty(tree.get(name)) for name in _EMPTY), "categories of a tree")
    for name in _FLOATS:
        _floats(tree, name, size)
    for name in _INTEGERS:
        values = tree.get(name)
        _need(isinstance(values, np.ndarray) and values.dtype.kind in "iu" and len(values) == size, name)
    return size


def _check_nodes(nodes: dict[str, NDArray[Any]], sizes: NDArray[np.int64], features: int) -> None:
    """Check the indices of all trees' nodes: each node has one parent, and no tree is too deep."""
    ends = sizes.cumsum()
    first = ends - sizes
    start = np.repeat(first, sizes)
    left, right = (nodes[name].astype(np.int64) for name in ("left_children", "right_children"))
    inner = left >= 0
    _need(bool((inner == (right >= 0)).all() and min(left.min(), right.min()) >= -1), "children of a node")
    at = np.arange(len(left))
    children = np.concatenate([left[inner] + start[inner], right[inner] + start[inner]])
    parents = np.concatenate([at[inner], at[inner]])
    _need(bool((children < np.repeat(ends, sizes)[parents]).all() and (children > parents).all()), "children of a node")
    expected = np.full(len(left), -1)  # a node that is no other's child stays -1
    expected[children] = parents - start[parents]
    expected[first] = _NO_PARENT
    _need(len(children) == len(left) - len(sizes), "number of nodes")
    _need(bool((expected >= 0).all() and (nodes["parents"] == expected).all()), "parents of a node")
    split = nodes["split_indices"]
    _need(bool(((split >= 0) & (split < features)).all() and (nodes["split_type"] == 0).all()), "the split of a node")
    _need(bool(np.isin(nodes["default_left"], (0, 1)).all()), "default_left")
    level = first
    for _ in range(_MAX_DEPTH):
        level = level[inner[level]]
        level = np.concatenate([left[level] + start[level], right[level] + start[level]])
    _need(not len(level), "depth")


def _floats(values: Mapping[str, Any], name: str, size: int) -> None:
    found = values.get(name)
    _need(isinstance(found, np.ndarray) and found.dtype == ">f4" and len(found) == size, name)
    _need(bool(np.isfinite(values[name]).all()), f"{name}, a number that is not finite,")


def _mapping(value: Any, name: str) -> dict[str, Any]:
    _need(isinstance(value, dict), name)
    return dict(value)


def _number(values: Mapping[str, Any], name: str) -> int:
    """Return a whole number that XGBoost stores as text."""
    text = values.get(name)
    _need(isinstance(text, str) and len(text) <= 9 and text.isascii() and text.isdigit(), name)
    return int(values[name])


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _numbers(values: Any) -> bool:
    return isinstance(values, np.ndarray) or (isinstance(values, list) and all(type(each) is float for each in values))


def _equal(values: Any, expected: NDArray[np.int64]) -> bool:
    """Return whether whole numbers, in any of the forms that XGBoost stores, are as expected."""
    whole = isinstance(values, np.ndarray) or (isinstance(values, list) and all(map(_whole, values)))
    return whole and np.array_equal(np.asarray(values), expected)


def _empty(values: Any) -> bool:
    return isinstance(values, (list, np.ndarray)) and len(values) == 0


def _need(held: bool, name: str) -> None:
    if not held:
        raise ValueError(f"its {name} is wrong")
