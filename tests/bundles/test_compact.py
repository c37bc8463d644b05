"""Graphs of a lower precision: figures against onnxruntime on its own, forgeries, bad input."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from light import light
from onnx import TensorProto
from PIL import Image
from small_bundle import EXPECTED_FAILURE, MISUSE, json_lines, predicted, refuse

from venation.bundles import measure_compact
from venation.bundles import open_predictor as opening
from venation.bundles.bundle import load_record, open_verified, sha256, write_bundle, write_record
from venation.bundles.card import model_card
from venation.bundles.compact import Compact
from venation.bundles.compact_graphs import write_compact
from venation.bundles.load_network import LoadedBundle, load_parts
from venation.bundles.measure_compact import add_compact
from venation.bundles.onnx_check import check_graph
from venation.bundles.onnx_model import write_graphs
from venation.bundles.open_predictor import open_predictor
from venation.bundles.record import CARD, ONNX, WEIGHTS, BundleRecord
from venation.bundles.samples import write_samples
from venation.bundles.scoring import write_image_hashes
from venation.bundles.verify import check_bundle, compare
from venation.data.data_config import SplitConfig
from venation.data.fit_image import eval_array
from venation.data.images import read_image
from venation.data.manifest import Manifest, load_manifest
from venation.data.splits import assign_splits
from venation.data.synthetic import write_leaves
from venation.errors import UsageError, UserError
from venation.models.build import build_network
from venation.spaces.fields import set_fields
from venation.trials.checkpoint import write_weights
from venation.trials.trial_config import TrialConfig

INT8, FP16 = "model-int8.onnx", "model-fp16.onnx"
SETTINGS = {"encoder.name": "test_resnet", "encoder.weights": "none", "data.size": 32, "gate": "none"}


@pytest.fixture(scope="module")
def leaves(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("leaves")
    write_leaves(folder, classes=2, images=10, size=48, seed=3)
    return assign_splits(load_manifest(folder), seed=0)


@pytest.fixture(scope="module")
def made(leaves: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle of a random network with masks, and its graphs in int8 and fp16."""
    torch.manual_seed(0)
    config = set_fields(TrialConfig(), SETTINGS | {"decoder.kind": "unet", "decoder.channels": 8})
    record = BundleRecord(
        sources=(), config=config, classes=leaves.classes, metrics={},
        images={part: len(leaves.split(part)) for part in ("train", "val", "test")},
        data_fingerprint="", split=SplitConfig(), provenance={},
    )  # fmt: skip
    parts = LoadedBundle(record, build_network(config.network(2)).eval(), None)
    for parameter in parts.network.decoder.parameters() if parts.network.decoder is not None else ():
        torch.nn.init.normal_(parameter, std=0.3)  # an untrained decoder finds no structure anywhere

    def fill(folder: Path) -> BundleRecord:
        write_weights(parts.network.state_dict(), folder / WEIGHTS)
        write_graphs(parts.network, record, folder)
        write_samples(parts, [sample.image for sample in leaves.split("val")[:2]], folder)
        write_image_hashes(leaves, folder)
        low = tuple(
            add_compact(folder, parts, precision, train=leaves.split("train"), val=leaves.split("val"))
            for precision in ("int8", "fp16")
        )
        full = record.model_copy(update={"compact": low})
        (folder / CARD).write_text(model_card(full))
        return full

    return write_bundle(
        tmp_path_factory.mktemp("made") / "small.bundle",
        record,
        fill,
        lambda folder, full: compare(folder, load_parts(folder, full)),
    )


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "copy.bundle"))


def outputs(graph: Path, leaves: Manifest) -> tuple[np.ndarray, np.ndarray]:
    """Run a graph on the validation images, without Venation's runner."""
    view = set_fields(TrialConfig(), SETTINGS).data
    x_BCHW = np.stack([eval_array(read_image(sample.image, view), view) for sample in leaves.split("val")])
    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    probabilities, mask = session.run(["probabilities", "mask"], {"image": x_BCHW})
    return probabilities, mask


def iou_of(bundle: Path, precision: str, leaves: Manifest) -> float:
    """Return the IoU of the masks that the bundle predicts, over all validation images."""
    both = either = 0
    with open_verified(bundle) as (folder, record):
        predictor = open_predictor(folder, record, runner="onnx", precision=precision)  # type: ignore[arg-type]
    for sample in leaves.split("val"):
        (found,) = predictor.predict([sample.image])
        assert sample.mask is not None and found.mask is not None
        with Image.open(sample.mask) as image:
            actual = np.asarray(image.convert("L")) > 0
        both += int((actual & (found.mask > 0)).sum())
        either += int((actual | (found.mask > 0)).sum())
    return both / either


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_the_figures_are_those_of_onnxruntime_on_its_own(made: Path, leaves: Manifest, precision: str) -> None:
    low = next(low for low in load_record(made).compact if low.precision == precision)
    graph = made / f"model-{precision}.onnx"
    full_BK, low_BK = outputs(made / ONNX, leaves)[0], outputs(graph, leaves)[0]
    label_B = np.array([leaves.classes.index(sample.label or "") for sample in leaves.split("val")])
    assert low.images == len(label_B)
    assert low.accuracy_fp32 == (full_BK.argmax(1) == label_B).mean()
    assert low.accuracy == (low_BK.argmax(1) == label_B).mean()
    assert low.equal_labels == (low_BK.argmax(1) == full_BK.argmax(1)).mean()
    assert low.largest_difference == pytest.approx(np.abs(low_BK - full_BK).max(), abs=1e-6)
    assert (low.bytes, low.bytes_fp32) == (graph.stat().st_size, (made / ONNX).stat().st_size)
    assert low.iou == pytest.approx(iou_of(made, precision, leaves), abs=1e-9)
    assert low.iou_fp32 == pytest.approx(iou_of(made, "fp32", leaves), abs=1e-9)
    assert low.speed > 0 and low.speed_fp32 > 0


@pytest.mark.parametrize(("name", "kind"), [(INT8, TensorProto.INT8), (FP16, TensorProto.FLOAT16)])
def test_the_weights_are_small_and_the_operators_those_of_onnx(made: Path, name: str, kind: int) -> None:
    check_graph((made / name).read_bytes())
    model, full = onnx.load(made / name), onnx.load(made / ONNX)
    large = [part for part in model.graph.initializer if np.prod(part.dims) >= 256]
    assert large and {part.data_type for part in large} == {kind}
    for graph in (model.graph, full.graph):
        assert {value.type.tensor_type.elem_type for value in [*graph.input, *graph.output]} == {TensorProto.FLOAT}
    assert [value.name for value in model.graph.output] == [value.name for value in full.graph.output]


def test_training_images_alone_fix_the_ranges(made: Path, leaves: Manifest, tmp_path: Path) -> None:
    low = next(low for low in load_record(made).compact if low.precision == "int8")
    assert low.calibration == len(leaves.split("train"))
    (tmp_path / ONNX).write_bytes((made / ONNX).read_bytes())
    write_compact(tmp_path, load_record(made), "int8", [sample.image for sample in leaves.split("train")])
    assert (tmp_path / INT8).read_bytes() == (made / INT8).read_bytes()
    write_compact(tmp_path, load_record(made), "int8", [sample.image for sample in leaves.split("test")])
    assert (tmp_path / INT8).read_bytes() != (made / INT8).read_bytes()


def test_predict_runs_the_graph_that_is_asked_for(made: Path, leaves: Manifest, tmp_path: Path) -> None:
    paths = [sample.image for sample in leaves.split("val")]
    expected_BK, _ = outputs(made / INT8, leaves)
    found = predicted(made, *paths, "-o", tmp_path / "out", "--precision", "int8")
    for row, expected_K in zip(found, expected_BK, strict=True):
        assert row["label"] == leaves.classes[expected_K.argmax()]
        assert row["probability"] == pytest.approx(expected_K.max(), abs=1e-5)
    done = light("predict", made, *paths, "-o", tmp_path / "light", "--precision", "int8", "--json")
    assert done.returncode == 0, done.stderr
    assert [row["probability"] for row in json_lines(done.stdout)] == [row["probability"] for row in found]


def test_a_run_is_not_resumed_in_another_precision(made: Path, leaves: Manifest, tmp_path: Path) -> None:
    paths = [sample.image for sample in leaves.split("val")][:1]
    given = ("predict", made, *paths, "-o", tmp_path, "--runner", "onnx")
    predicted(*given[1:], "--precision", "int8")
    refuse(MISUSE, *given, "--resume", says=("another bundle or other options",))


def test_what_does_not_exist_is_refused_in_one_line(made: Path, copied: Path, tmp_path: Path) -> None:
    photo = copied / "samples" / "0.png"
    record = load_record(copied)
    (copied / FP16).unlink()
    files = {name: digest for name, digest in record.files.items() if name != FP16}
    write_record(copied, record.model_copy(update={"files": files, "compact": record.compact[:1]}))
    says = ("no graph in `fp16`", "only in fp32 and int8", "export it again with --precision fp16")
    refuse(EXPECTED_FAILURE, "predict", copied, photo, "-o", tmp_path / "o", "--precision", "fp16", says=says)
    refuse(MISUSE, "predict", copied, photo, "-o", tmp_path / "o", "--precision", "int4", says=("int4", "int8"))
    says = ("--precision int4 was given", "fp16, int8 or both")
    refuse(MISUSE, "bundle", "export", "s", "-o", tmp_path / "o", "--precision", "int4", says=says)
    with pytest.raises(UsageError, match="`int8` is one of graphs, and the runner is `torch`"):
        open_predictor(made, load_record(made), runner="torch", precision="int8")


def test_an_older_bundle_has_none(made: Path) -> None:
    fields = load_record(made).model_dump(mode="json", exclude={"compact"})
    assert BundleRecord.model_validate(fields).compact == ()


def replace_graph(bundle: Path, content: bytes) -> None:
    """Replace the graph in int8, with a right hash."""
    (bundle / INT8).write_bytes(content)
    record = load_record(bundle)
    write_record(bundle, record.model_copy(update={"files": record.files | {INT8: sha256(bundle / INT8)}}))


def test_a_changed_graph_is_named(copied: Path, tmp_path: Path) -> None:
    content = bytearray((copied / INT8).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / INT8).write_bytes(content)
    photo = copied / "samples" / "0.png"
    refuse(EXPECTED_FAILURE, "bundle", "check", copied, says=(f"{INT8} was changed",))
    refuse(EXPECTED_FAILURE, "predict", copied, photo, "-o", tmp_path / "o", says=(f"{INT8} was changed",))


def test_a_forged_program_is_refused(copied: Path, tmp_path: Path) -> None:
    model = onnx.load(copied / INT8)
    model.graph.node[0].domain = "com.evil"
    replace_graph(copied, model.SerializeToString())
    photo = copied / "samples" / "0.png"
    says = (f"{INT8} cannot be run", "com.evil")
    refuse(EXPECTED_FAILURE, "bundle", "check", copied, says=says)
    refuse(EXPECTED_FAILURE, "predict", copied, photo, "-o", tmp_path / "o", "--precision", "int8", says=says)


def scaled(graph: Path, factor: float) -> bytes:
    """Return a graph whose logits are multiplied by a factor."""
    model = onnx.load(graph)
    softmax = next(node for node in model.graph.node if "probabilities" in node.output)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(factor), "factor"))
    grown = onnx.helper.make_node("Mul", [softmax.input[0], "factor"], ["grown"])
    softmax.input[0] = "grown"
    model.graph.node.insert(list(model.graph.node).index(softmax), grown)
    return model.SerializeToString()


def test_another_graph_than_the_measured_one_is_found_despite_a_matching_hash(copied: Path) -> None:
    found = check_bundle(copied)
    assert found["int8_samples_difference"] == pytest.approx(load_record(copied).compact[0].samples_difference)
    replace_graph(copied, scaled(copied / ONNX, -1e6))
    with pytest.raises(UserError, match=f"{INT8} is not the graph that was measured: samples_difference"):
        check_bundle(copied)


def test_a_graph_without_finite_answers_is_refused_at_export(
    made: Path, leaves: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ONNX).write_bytes((made / ONNX).read_bytes())
    broken = scaled(made / ONNX, float("nan"))
    monkeypatch.setattr(measure_compact, "write_compact", lambda *_: (tmp_path / FP16).write_bytes(broken))
    parts = load_parts(made, load_record(made))
    with pytest.raises(UserError, match="fp16 cannot be used .*not finite.*: export without --precision fp16"):
        add_compact(tmp_path, parts, "fp16", train=leaves.split("train"), val=leaves.split("val"))


LOW = Compact(
    precision="int8", images=100, accuracy=0.93, accuracy_fp32=0.94, equal_labels=0.98, largest_difference=0.2,
    speed=18.0, speed_fp32=10.0, bytes=250, bytes_fp32=1000, calibration=64, samples_difference=0.1,
)  # fmt: skip


def test_loss_and_gain_are_said_in_words_and_a_great_loss_loudly(made: Path) -> None:
    assert LOW.sentence() == (
        "int8: validation accuracy 0.930 against 0.940 (100 images, 98.0% of the labels equal), 1.8 times as fast,"
        " 0.25 times the size"
    )
    assert LOW.great_loss() is None  # one point, not more
    worse = LOW.model_copy(update={"accuracy": 0.9, "iou": 0.5, "iou_fp32": 0.55})
    said = "int8 lowers the validation accuracy by 4.0 points and the IoU by 5.0 points"
    assert worse.great_loss() == said
    record = load_record(made)
    assert f"**{said}**" in model_card(record.model_copy(update={"compact": (worse,)}))
    assert record.compact[0].sentence() in (made / CARD).read_text()


@pytest.fixture
def _openvino() -> Iterator[None]:
    pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install 'venation[openvino]'")
    yield


@pytest.mark.usefixtures("_openvino")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_openvino_answers_as_onnxruntime(made: Path, leaves: Manifest, precision: str) -> None:
    graph = ONNX if precision == "fp32" else FP16
    expected_BK, _ = outputs(made / graph, leaves)
    with open_verified(made) as (folder, record):
        predictor = open_predictor(folder, record, runner="openvino", precision=precision)  # type: ignore[arg-type]
        by_onnx = open_predictor(folder, record, runner="onnx", precision=precision)  # type: ignore[arg-type]
    paths = [sample.image for sample in leaves.split("val")]
    for found, other, expected_K in zip(predictor.predict(paths), by_onnx.predict(paths), expected_BK, strict=True):
        assert list(found.probabilities.values()) == pytest.approx(
            expected_K, abs=1e-2 if precision == "fp16" else 1e-4
        )
        assert found.mask is not None and (found.mask == other.mask).mean() > 0.99


def test_openvino_that_is_not_installed_is_said(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_installed", lambda name: name != "openvino")
    with pytest.raises(UsageError, match=r"`openvino` is not installed: use `onnx`, or `pip install"):
        open_predictor(made, load_record(made), runner="openvino")
