"""Damaged and forged boosters: one line, before XGBoost reads the file."""

import functools
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost as xgb

from venation.errors import UserError
from venation.trials.booster import Booster
from venation.trials.booster_format import check_format
from venation.trials.ubjson import read_ubjson

ATTRIBUTES = ("venation_mean", "venation_scale")
KINDS = pytest.mark.parametrize("kind", ["gbtree", "dart", "gblinear"])


@functools.cache
def trained(kind: str, classes: int = 3, rounds: int = 2, depth: int = 2) -> Booster:
    """A booster of 4 features."""
    x_NC = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    settings = {"booster": kind, "objective": "multi:softprob", "num_class": classes, "max_depth": depth, "nthread": 1}
    settings = settings if kind != "gblinear" else settings | {"updater": "shotgun"}
    model = xgb.train(settings | {"verbosity": 0}, xgb.DMatrix(x_NC, np.arange(40) % classes), rounds)
    return Booster.scaled(model, np.zeros(4, np.float32), np.ones(4, np.float32))


def saved(booster: Booster, folder: Path) -> bytes:
    booster.save(folder / "booster.ubj")
    return (folder / "booster.ubj").read_bytes()


def unsealed(kind: str) -> bytes:
    """The file as version 0.1 wrote it."""
    return bytes(trained(kind)._model.save_raw("ubj"))


def written(value: Any) -> bytes:
    """UBJSON by its specification, with all whole numbers as int64 and all floats as float32."""
    match value:
        case dict():
            return b"{" + b"".join(written(name)[1:] + written(item) for name, item in value.items()) + b"}"
        case str():
            return b"SL" + struct.pack(">q", len(value.encode())) + value.encode()
        case np.ndarray():
            tag = {"f4": b"d", "i4": b"l", "i8": b"L", "u1": b"U"}[value.dtype.str[1:]]
            return (
                b"[$"
                + tag
                + b"#L"
                + struct.pack(">q", value.size)
                + value.astype(value.dtype.newbyteorder(">")).tobytes()
            )
        case list():
            return b"[#L" + struct.pack(">q", len(value)) + b"".join(map(written, value))
        case float():
            return b"d" + struct.pack(">f", value)
    return b"L" + struct.pack(">q", value)


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | np.ndarray) else value


@KINDS
def test_ubjson_is_read_as_xgboost_writes_it_as_json(kind: str) -> None:
    text = json.loads(bytes(trained(kind)._model.save_raw("json")))

    def compare(ours: Any, theirs: Any) -> None:
        assert (ours.keys() if isinstance(theirs, dict) else None) == (
            theirs.keys() if isinstance(theirs, dict) else None
        )
        if isinstance(theirs, dict):
            for name in theirs:
                compare(ours[name], theirs[name])
        elif isinstance(theirs, list):
            assert len(ours) == len(theirs)
            for one, other in zip(ours, theirs, strict=True):
                compare(one, other)
        else:
            assert ours == (theirs if isinstance(theirs, str) else pytest.approx(theirs, rel=1e-6))

    compare(read_ubjson(unsealed(kind)), text)


@KINDS
def test_files_with_and_without_a_seal_are_read(kind: str, tmp_path: Path) -> None:
    check_format(saved(trained(kind), tmp_path), ATTRIBUTES)
    check_format(unsealed(kind), ATTRIBUTES)
    check_format(written(read_ubjson(unsealed(kind))), ATTRIBUTES)


@KINDS
def test_every_cut_and_every_flipped_byte_is_refused(kind: str, tmp_path: Path) -> None:
    content = saved(trained(kind, classes=2, rounds=1, depth=1), tmp_path)
    for at in range(len(content)):
        flipped = bytearray(content)
        flipped[at] ^= 1 << at % 8
        for damaged in (content[:at], bytes(flipped)):
            with pytest.raises(ValueError, match=r"."):
                check_format(damaged, ATTRIBUTES)


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    content = saved(trained("gbtree"), tmp_path)
    path = tmp_path / "booster.ubj"
    not_utf8 = content[:90] + b"\xe9" + content[91:]
    for damaged in (b"", content[:-1], content + b"}", b"[" * 100_000, b"\xff\xfe" * 50, not_utf8):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"booster\.ubj is damaged or was not written by venation") as caught:
            Booster.load(path)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def forge(kind: str, *steps: Any, to: Any) -> bytes:
    """A file without a seal, with another value at ``steps``."""
    model = read_ubjson(unsealed(kind))
    place = model["learner"]
    for step in steps[:-1]:
        place = place[step]
    if isinstance(place, np.ndarray):
        raise TypeError("give the whole array")
    place[steps[-1]] = to(place[steps[-1]]) if callable(to) else to
    return written(model)


def changed(index: int, value: float) -> Any:
    def change(array: np.ndarray) -> np.ndarray:
        copy = array.astype(array.dtype.newbyteorder("="))
        copy[index] = value
        return copy

    return change


PARAMETERS = ("learner_model_param",)
MODEL = ("gradient_booster", "model")
TREE = (*MODEL, "trees", 0)
FORGED = {
    "no tree at its id": ("gbtree", (*TREE, "id"), 1),
    "a child beyond the tree": ("gbtree", (*TREE, "left_children"), changed(0, 99)),
    "a child that is its parent": ("gbtree", (*TREE, "left_children"), changed(0, 0)),
    "one child for two": ("gbtree", (*TREE, "left_children"), changed(0, 2)),
    "a negative child": ("gbtree", (*TREE, "right_children"), changed(0, -5)),
    "another parent": ("gbtree", (*TREE, "parents"), changed(3, 2)),
    "a feature beyond the features": ("gbtree", (*TREE, "split_indices"), changed(0, 4)),
    "a split by category": ("gbtree", (*TREE, "split_type"), changed(0, 1)),
    "categories": ("gbtree", (*TREE, "categories"), np.arange(3, dtype=np.int32)),
    "a leaf that is not finite": ("gbtree", (*TREE, "split_conditions"), changed(6, np.nan)),
    "a short array": ("gbtree", (*TREE, "sum_hessian"), lambda array: array[:-1]),
    "more nodes than there are": ("gbtree", (*TREE, "tree_param", "num_nodes"), "800"),
    "deleted nodes": ("gbtree", (*TREE, "tree_param", "num_deleted"), "1"),
    "more trees than there are": ("gbtree", (*MODEL, "gbtree_model_param", "num_trees"), "600000000"),
    "a class beyond the classes": ("gbtree", (*MODEL, "tree_info"), [0, 1, 9, 0, 1, 2]),
    "another round": ("gbtree", (*MODEL, "iteration_indptr"), [0, 3, 900]),
    "a tree too few": ("gbtree", (*MODEL, "trees"), lambda trees: trees[:-1]),
    "more features": ("gbtree", (*PARAMETERS, "num_feature"), "900000000"),
    "no class": ("gbtree", (*PARAMETERS, "num_class"), "0"),
    "more classes": ("gblinear", (*PARAMETERS, "num_class"), "2000000000"),
    "a negative number": ("gbtree", (*PARAMETERS, "num_class"), "-3"),
    "several targets": ("gbtree", (*PARAMETERS, "num_target"), "7"),
    "a base score that is not finite": ("gbtree", (*PARAMETERS, "base_score"), "[nan,0E0,0E0]"),
    "another objective": ("gbtree", ("objective", "name"), "reg:squarederror"),
    "another booster": ("gbtree", ("gradient_booster", "name"), "gblinear"),
    "weights that are not finite": ("gblinear", (*MODEL, "weights"), changed(2, np.inf)),
    "fewer weights": ("gblinear", (*MODEL, "weights"), lambda array: array[:-1]),
    "weights as a list": ("gblinear", (*MODEL, "weights"), lambda array: array.tolist()),
    "a dropped tree too few": ("dart", ("gradient_booster", "weight_drop"), [1.0]),
    "a text for an array": ("dart", ("gradient_booster", "weight_drop"), "111111"),
    "no attribute": ("gbtree", ("attributes",), {}),
    "an unknown attribute": ("gbtree", ("attributes",), lambda found: found | {"other": "1"}),
    "a wrong seal": ("gbtree", ("attributes",), lambda found: found | {"venation_sha256": "0" * 64}),
    "names of features": ("gbtree", ("feature_names",), ["a", "b", "c", "d"]),
}


@pytest.mark.parametrize(("kind", "steps", "to"), FORGED.values(), ids=FORGED)
def test_a_forged_structure_is_refused(kind: str, steps: tuple[Any, ...], to: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        check_format(forge(kind, *steps, to=to), ATTRIBUTES)


def test_a_deep_tree_is_refused() -> None:
    """XGBoost walks a tree by recursion in some places."""
    nodes = 2 * 70 + 1
    inner = np.arange(nodes) % 2 == 0
    inner[-1] = False
    left = np.where(inner, np.arange(nodes) + 1, -1).astype(np.int32)
    right = np.where(inner, np.arange(nodes) + 2, -1).astype(np.int32)
    parents = np.full(nodes, np.iinfo(np.int32).max, np.int32)
    parents[left[inner]] = parents[right[inner]] = np.flatnonzero(inner)

    def deep(tree: dict[str, Any]) -> dict[str, Any]:
        zeros = {
            name: np.zeros(nodes, tree[name].dtype.newbyteorder("="))
            for name in ("base_weights", "loss_changes", "split_conditions", "sum_hessian")
        } | {name: np.zeros(nodes, np.uint8) for name in ("default_left", "split_type")}
        tree = tree | zeros | {"split_indices": np.zeros(nodes, np.int32)}
        tree |= {"left_children": left, "right_children": right, "parents": parents}
        return tree | {"tree_param": tree["tree_param"] | {"num_nodes": str(nodes)}}

    with pytest.raises(ValueError, match="depth"):
        check_format(forge("gbtree", *TREE, to=deep), ATTRIBUTES)


@pytest.mark.parametrize(("mean", "scale"), [(np.nan, 1.0), (0.0, np.inf), (0.0, 0.0), (0.0, -1.0)])
def test_a_scale_that_is_no_scale_is_refused(mean: float, scale: float) -> None:
    with pytest.raises(ValueError, match="scale"):
        Booster.scaled(trained("gbtree")._model, np.full(4, mean, np.float32), np.full(4, scale, np.float32))


def test_features_that_are_not_finite_are_refused() -> None:
    with pytest.raises(UserError, match="features are not finite"):
        trained("gblinear").predict(np.full((1, 4), np.nan, np.float32))
