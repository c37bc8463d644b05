"""Graphs that are more than a list of known operators: refused before they are loaded."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from venation.bundles import onnx_check
from venation.bundles.onnx_check import check_graph

EXP = helper.make_node("Exp", ["image"], ["probabilities"])


def model(*nodes: onnx.NodeProto, **options: object) -> onnx.ModelProto:
    return helper.make_model(helper.make_graph(list(nodes) or [EXP], "g", [], [], **options))


def external() -> onnx.TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[6], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="secret")
    return tensor


def sparse() -> onnx.SparseTensorProto:
    values, indices = np.ones(1, np.float32), np.zeros(1, np.int64)
    return helper.make_sparse_tensor(numpy_helper.from_array(values, "w"), numpy_helper.from_array(indices, "i"), [9])


def branch(**more: object) -> onnx.NodeProto:
    body = helper.make_graph([EXP], "body", [], [])
    return helper.make_node("If", ["image"], ["probabilities"], then_branch=body, else_branch=body, **more)


def with_function() -> onnx.ModelProto:
    made = model()
    made.functions.append(helper.make_function("ai.onnx", "F", ["a"], ["b"], [], made.opset_import))
    return made


def with_domain() -> onnx.ModelProto:
    made = model()
    made.opset_import.append(helper.make_opsetid("com.evil", 1))
    return made


REFUSED: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "branch": (lambda: model(branch()), "a loop or a branch"),
    # Numbers of an attribute are passed over in one step: nothing may hide behind them.
    "branch behind numbers": (lambda: model(branch(a=[1, 300, 2**40], b=[1.0, -2.5])), "a loop or a branch"),
    "graphs": (lambda: model(helper.make_node("X", [], [], g=[model().graph])), "a loop or a branch"),
    "function": (with_function, "functions of its own"),
    "domain of a node": (lambda: model(helper.make_node("Exp", [], [], domain="com.evil")), "the domain 'com.evil'"),
    "domain of the model": (with_domain, "the domain 'com.evil'"),
    "weights in a file": (lambda: model(EXP, initializer=[external()]), "data in another file"),
    "constant in a file": (lambda: model(helper.make_node("Constant", [], ["w"], value=external())), "in another file"),
    "sparse weights": (lambda: model(EXP, sparse_initializer=[sparse()]), "sparse tensors"),
    "sparse constant": (lambda: model(helper.make_node("Constant", [], ["w"], sparse_value=sparse())), "sparse"),
}


@pytest.mark.parametrize(("make", "reason"), REFUSED.values(), ids=REFUSED)
def test_other_programs_are_refused(make: Callable[[], onnx.ModelProto], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_graph(make().SerializeToString())


def test_known_operators_with_numbers_and_weights_pass() -> None:
    weights = numpy_helper.from_array(np.arange(12, dtype=np.float32).reshape(3, 4), "w")
    trees = {"nodes_nodeids": list(range(400)), "nodes_values": [0.5] * 400, "nodes_modes": ["LEAF"] * 400}
    ensemble = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", **trees)
    check_graph(model(EXP, ensemble, initializer=[weights]).SerializeToString())


def test_the_number_of_nodes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_check, "MAX_NODES", 3)
    check_graph(model(EXP, EXP, EXP).SerializeToString())
    with pytest.raises(ValueError, match="more than 3 nodes"):
        check_graph(model(EXP, EXP, EXP, EXP).SerializeToString())


def test_a_second_graph_of_the_file_is_checked_too() -> None:
    """A reader of protocol buffers merges them."""
    with pytest.raises(ValueError, match="a loop or a branch"):
        check_graph(model().SerializeToString() + model(branch()).SerializeToString())


def test_damage_is_found() -> None:
    content = model(EXP, initializer=[numpy_helper.from_array(np.ones(5, np.float32), "w")]).SerializeToString()
    damaged = 0
    for end in range(len(content)):
        try:
            check_graph(content[:end])
        except ValueError as error:
            damaged += str(error) == "it is damaged"
    assert damaged > len(content) // 2
    for content in (b"\xff" * 20, b"\x3b", b"\x38\x01", b"\x3a\x7f"):
        with pytest.raises(ValueError, match="it is damaged"):
            check_graph(content)
