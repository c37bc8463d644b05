"""Write a bundle's graphs in a lower precision, beside those in fp32, which stay as they are."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.quant_utils import add_pre_process_metadata
from onnxruntime.transformers.float16 import convert_float_to_float16

from ..data.images import read_image
from ..errors import UserError
from .compact import LowPrecision
from .onnx_process import INPUT
from .record import ONNX, BundleRecord, graph_name
from .samples import network_input

# Training images that fix the ranges of int8; more change nothing that we can measure.
CALIBRATION = 64


def write_compact(folder: Path, record: BundleRecord, precision: LowPrecision, images: Sequence[Path]) -> None:
    """Write the network's graphs in a bundle's ``folder`` again, in ``precision``.

    Inputs and outputs stay float32. ``images`` are training images, which fix the ranges of int8;
    fp16 needs none. Raises UserError if a graph cannot be converted.
    """
    for graph in record.graphs:
        source, target = folder / graph, folder / graph_name(graph, precision)
        try:
            if precision == "fp16":
                onnx.save(convert_float_to_float16(onnx.load(source), keep_io_types=True), target)
            else:
                view = record.config.data if graph == ONNX else record.mask_view
                _quantise(source, target, (network_input(read_image(path, view), view).numpy() for path in images))
        except (ArithmeticError, AssertionError, KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = str(error).strip().partition("\n")[0][:200]
            raise UserError(
                f"{graph} cannot be written in {precision} ({reason}): export without --precision {precision}."
            ) from error


def _quantise(source: Path, target: Path, images: Iterator[NDArray[np.float32]]) -> None:
    """Write weights and activations as 8-bit integers, each with scales, in operators of ONNX.

    Weights have a scale for each channel, and 7 bits: without the instruction VNNI, x86 processors
    add up pairs of products of 8 bits in 16, and lose the rest. What writes an output stays float.
    """
    model = onnx.load(source)
    outputs = {output.name for output in model.graph.output}
    add_pre_process_metadata(model)  # the exporter has folded and inferred all that it could
    quantize_static(
        model,
        target,
        _Images(images),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
        nodes_to_exclude=[node.name for node in model.graph.node if outputs & set(node.output)],
    )


class _Images(CalibrationDataReader):  # type: ignore[misc]
    """Give the quantiser one image after the other."""

    def __init__(self, images: Iterator[NDArray[np.float32]]) -> None:
        self._images = images

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        image_CHW = next(self._images, None)
        return None if image_CHW is None else {INPUT: image_CHW[None]}
