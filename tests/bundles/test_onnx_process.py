"""Forged ONNX graphs: one line, within bounds on time and memory."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from venation.bundles import onnx_process
from venation.bundles.onnx_process import run_apart, run_here
from venation.errors import UserError

IMAGE = np.arange(6, dtype=np.float32).reshape(1, 6)


def graph(path: Path, nodes: Sequence[onnx.NodeProto], *, kind: int = TensorProto.FLOAT, **options: object) -> Path:
    """Write a graph from ``image`` to ``probabilities``."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 6])
    answer = helper.make_tensor_value_info("probabilities", kind, None)
    made = helper.make_graph(list(nodes), "g", [image], [answer], **options)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


def loop() -> list[onnx.NodeProto]:
    """Count to 2**62."""
    scalar = [
        helper.make_tensor_value_info(name, kind, [])
        for name, kind in (("i", 7), ("c", 9), ("x", 1), ("d", 9), ("y", 1))
    ]
    one = helper.make_node("Constant", [], ["one"], value=helper.make_tensor("v", 1, [], [1.0]))
    body = helper.make_graph(
        [one, helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Add", ["x", "one"], ["y"])],
        "body",
        scalar[:3],
        scalar[3:],
    )
    values = {"m": (7, [2**62]), "go": (9, [True]), "zero": (1, [0.0])}
    constants = [
        helper.make_node("Constant", [], [name], value=helper.make_tensor("v", kind, [], value))
        for name, (kind, value) in values.items()
    ]
    return [*constants, helper.make_node("Loop", ["m", "go", "zero"], ["probabilities"], body=body)]


def hog() -> list[onnx.NodeProto]:
    """Fill 64 GiB."""
    shape = helper.make_tensor("v", TensorProto.INT64, [2], [1 << 17, 1 << 17])
    return [
        helper.make_node("Constant", [], ["shape"], value=shape),
        helper.make_node("ConstantOfShape", ["shape"], ["probabilities"]),
    ]


def test_a_graph_gives_the_same_here_and_apart(tmp_path: Path) -> None:
    path = graph(tmp_path / "model.onnx", [helper.make_node("Exp", ["image"], ["probabilities"])])
    for run in (run_here, run_apart):
        found = run(path, IMAGE, 1)
        assert list(found) == ["probabilities"]
        np.testing.assert_allclose(found["probabilities"], np.exp(IMAGE), rtol=1e-6)


def test_a_module_in_the_working_folder_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = graph(tmp_path / "model.onnx", [helper.make_node("Exp", ["image"], ["probabilities"])])
    (tmp_path / "numpy.py").write_text("import sys; sys.exit('a stranger ran')")
    monkeypatch.chdir(tmp_path)
    np.testing.assert_allclose(run_apart(path, IMAGE, 1)["probabilities"], np.exp(IMAGE), rtol=1e-6)


def test_many_threads_fit_into_the_bound_on_memory(tmp_path: Path) -> None:
    path = graph(tmp_path / "model.onnx", [helper.make_node("Exp", ["image"], ["probabilities"])])
    np.testing.assert_allclose(run_apart(path, IMAGE, 64)["probabilities"], np.exp(IMAGE), rtol=1e-6)


def test_an_endless_loop_is_refused(tmp_path: Path) -> None:
    for run in (run_here, run_apart):
        with pytest.raises(UserError, match=r"model\.onnx cannot be run .*a loop or a branch"):
            run(graph(tmp_path / "model.onnx", loop()), IMAGE, 1)


def test_a_graph_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_process, "SECONDS", 0.01)
    path = graph(tmp_path / "model.onnx", [helper.make_node("Exp", ["image"], ["probabilities"])])
    with pytest.raises(UserError, match=r"model\.onnx did not answer within 0.01 s"):
        run_apart(path, IMAGE, 1)


def test_a_file_above_2_gib_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "model.onnx").open("wb") as file:
        file.truncate(2 << 30)
    with pytest.raises(UserError, match="larger than 2 GiB"):
        run_here(tmp_path / "model.onnx", IMAGE, 1)


def test_a_graph_that_asks_for_all_memory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model\.onnx cannot be run") as caught:
        run_apart(graph(tmp_path / "model.onnx", hog()), IMAGE, 1)
    assert "\n" not in str(caught.value)


def test_a_graph_reads_no_other_file(tmp_path: Path) -> None:
    """Weights in a file beside the graph are a feature of ONNX."""
    (tmp_path / "secret").write_bytes(np.ones(6, np.float32).tobytes())
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[6], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="secret")
    add = helper.make_node("Add", ["image", "w"], ["probabilities"])
    with pytest.raises(UserError, match=r"model\.onnx cannot be run"):
        run_here(graph(tmp_path / "model.onnx", [add], initializer=[tensor]), IMAGE, 1)


@pytest.mark.parametrize(
    ("node", "kind", "reason"),
    [
        (helper.make_node("Evil", ["image"], ["probabilities"], domain="com.evil"), TensorProto.FLOAT, "cannot be run"),
        (helper.make_node("Shape", ["image"], ["probabilities"]), TensorProto.INT64, "another type than float32"),
        (helper.make_node("Exp", ["nothing"], ["probabilities"]), TensorProto.FLOAT, "cannot be run"),
    ],
    ids=["custom operator", "whole numbers", "no input"],
)
def test_a_foreign_graph_is_refused(tmp_path: Path, node: onnx.NodeProto, kind: int, reason: str) -> None:
    with pytest.raises(UserError, match=reason) as caught:
        run_here(graph(tmp_path / "model.onnx", [node], kind=kind), IMAGE, 1)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 700


def test_every_cut_of_a_graph_is_read_or_refused(tmp_path: Path) -> None:
    content = graph(tmp_path / "model.onnx", [helper.make_node("Exp", ["image"], ["probabilities"])]).read_bytes()
    for end in range(len(content)):
        (tmp_path / "cut.onnx").write_bytes(content[:end])
        try:
            assert not run_here(tmp_path / "cut.onnx", IMAGE, 1).keys() - {"probabilities"}
        except UserError as error:
            assert "\n" not in str(error)
