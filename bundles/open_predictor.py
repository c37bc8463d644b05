"""Open a bundle's predictor with the runner that is asked for, or that is installed."""

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ..errors import UsageError, UserError
from ..trials.image_predictor import ImagePredictor
from .compact import Precision
from .onnx_process import Graph
from .onnx_runner import OnnxBooster, OnnxRunner, OpenGraph
from .record import BOOSTER, BOOSTER_ONNX, BundleRecord

RunnerName = Literal["auto", "torch", "onnx", "openvino"]
# Devices of GPUs (NVIDIA, AMD, Windows' Linux); torch, which knows for sure, takes seconds to load.
_GPU_DEVICES = (Path("/dev/nvidiactl"), Path("/dev/kfd"), Path("/dev/dxg"))
# What the network and the booster need in torch.
_FOR_TORCH = ("torch", "torchvision", "timm", "segmentation_models_pytorch", "safetensors", "xgboost")


def open_predictor(
    folder: Path,
    record: BundleRecord,
    *,
    runner: RunnerName = "auto",
    device: str = "auto",
    flips: bool = False,
    pictures: Sequence[str] | None = (),
    precision: Precision = "fp32",
) -> ImagePredictor:
    """Return the predictor of an opened bundle.

    ``runner`` is ``torch``, ``onnx`` (onnxruntime on the CPU), ``openvino`` (on the CPU), or
    ``auto``: onnx on a CPU, where it is about twice as fast, and torch for the rest if it is
    installed. ``precision`` is that of the graphs; for another than fp32, auto is onnx. ``device``
    is auto, cpu, cuda or cuda:N. ``pictures`` names what was asked for that only torch draws; None
    is for a program that may ask for them later. Raises UsageError for a combination that does not
    exist, UserError for a precision that the bundle lacks.
    """
    if runner == "auto":
        runner = _choose_runner(record, device, pictures) if precision == "fp32" else "onnx"
    if runner == "torch":
        if precision != "fp32":
            raise UsageError(
                f"precision `{precision}` is one of graphs, and the runner is `torch`: use --runner onnx or openvino."
            )
        if not _runs_torch():
            raise UsageError("the runner `torch` is not installed: use `onnx`, or `pip install 'venation[search]'`.")
        from ..trials.device import choose_device
        from .load_network import load_parts

        return load_parts(folder, record).predictor(device=choose_device(device), flips=flips)
    if device not in ("auto", "cpu"):
        raise UsageError(
            f"device `{device}` needs torch, and the runner is `{runner}`: use --device cpu or --runner torch."
        )
    if pictures:
        asked = f"{' and '.join(pictures)} {'need' if len(pictures) > 1 else 'needs'}"
        raise UsageError(f"{asked} torch, and the runner is `{runner}`: leave out the pictures, or use --runner torch.")
    present = ("fp32", *(low.precision for low in record.compact))
    if precision not in present:
        raise UserError(
            f"the bundle has no graph in `{precision}`, only in {' and '.join(present)}: use one of these, or export it"
            f" again with --precision {precision}."
        )
    return graph_predictor(folder, record, precision=precision, openvino=runner == "openvino", flips=flips)


def graph_predictor(
    folder: Path, record: BundleRecord, *, precision: Precision, openvino: bool = False, flips: bool = False
) -> ImagePredictor:
    """Return the predictor that runs a bundle's graphs, in onnxruntime or OpenVINO.

    A booster runs in onnxruntime: OpenVINO has no trees. Raises UsageError without OpenVINO.
    """
    open_graph: OpenGraph = Graph
    if openvino:
        if not _installed("openvino"):
            raise UsageError(
                "the runner `openvino` is not installed: use `onnx`, or `pip install 'venation[openvino]'`."
            )
        from .openvino_graph import OpenvinoGraph

        open_graph = OpenvinoGraph
    return ImagePredictor(
        OnnxRunner(folder, record, precision=precision, open_graph=open_graph),
        record.classes,
        record.config.data,
        mask_config=record.second_view,
        booster=_booster(folder, record),
        flips=flips,
    )


def _choose_runner(record: BundleRecord, device: str, pictures: Sequence[str] | None) -> Literal["torch", "onnx"]:
    """Return the faster runner of those that can do what was asked for."""
    if not _runs_torch():
        return "onnx"
    on_cpu = device == "cpu" or (device == "auto" and not _may_have_gpu())
    graphs = {*record.graphs, *((BOOSTER_ONNX,) if record.has_booster else ())}
    # The graph of an earlier version takes whole images of one size only.
    any_size = "whole" not in (record.config.data.fit, record.mask_view.fit)
    return "onnx" if on_cpu and pictures == () and any_size and graphs <= record.files.keys() else "torch"


def _may_have_gpu() -> bool:
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return not hidden and any(path.exists() for path in _GPU_DEVICES)


def _booster(folder: Path, record: BundleRecord) -> "OnnxBooster | None":
    if not record.has_booster:
        return None
    if not (folder / BOOSTER_ONNX).is_file():
        raise UserError(
            f"the bundle is of a version without {BOOSTER_ONNX}, and its {BOOSTER} needs torch and xgboost: use"
            " --runner torch, or export it again."
        )
    return OnnxBooster(folder / BOOSTER_ONNX)


def _runs_torch() -> bool:
    return all(_installed(name) for name in _FOR_TORCH)


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
