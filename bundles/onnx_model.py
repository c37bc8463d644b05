"""Export a network to ONNX, for machines without torch, and run the file."""

import contextlib
import io
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..data.fit_image import SMALLEST
from ..errors import UserError
from ..models.mask_logits import mask_probabilities
from ..models.memory_format import CPU, order_weights, place
from ..models.network import MultitaskNetwork
from ..trials.trial_config import TrialConfig
from .onnx_process import INPUT, OUTPUTS, Outputs, run_here
from .record import ONNX, BundleRecord

# The first opset with all operators that the exporter emits for grid_sample; onnxruntime rejects
# 18.
OPSET = 20
# The longest side of a whole image, in pixels, that a graph is traced for.
_LARGEST = 1 << 16
RunGraph = Callable[[Path, NDArray[np.float32], int], Outputs]


class _OnnxNetwork(nn.Module):
    """The exported graph: image (B, channels, H, W) -> probabilities (B, N), features (B, C), mask.

    The images are normalised. The mask is a map of probabilities (B, 1, h, w), or with several mask
    classes one of the background and one of each class (B, K, h, w). Its logits, which are resized
    to the image, are an output of their own: probabilities of sure pixels round to 1. ``outputs``
    names those that it has.
    """

    def __init__(self, network: MultitaskNetwork, outputs: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.outputs = outputs

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        output = self.network(image, segment="mask" in self.outputs)
        parts = {"probabilities": output.logits_BN.softmax(dim=1), "features": output.features_BC}
        if output.mask_logits_B1HW is not None:
            parts["mask"] = mask_probabilities(output.mask_logits_B1HW)
            parts["mask_logits"] = output.mask_logits_B1HW
        return tuple(parts[name] for name in self.outputs)


def write_graphs(network: MultitaskNetwork, record: BundleRecord, folder: Path) -> None:
    """Write the network into a bundle's ``folder``: one graph, or one for each image size.

    A view with ``fit=patch`` has a graph of its windows. Raises UserError as ``write_onnx`` does.
    """
    config = record.config
    of_masks = config.model_copy(update={"data": record.mask_view})
    if network.decoder is None or record.mask_graph == ONNX:
        # A graph of any size serves the other view too.
        write_onnx(network, of_masks if record.mask_view.fit == "whole" else config, folder / ONNX)
        return
    write_onnx(network, config, folder / ONNX, outputs=OUTPUTS[:2])
    write_onnx(network, of_masks, folder / record.mask_graph, outputs=OUTPUTS[2:])


def write_onnx(
    network: MultitaskNetwork, config: TrialConfig, path: Path, *, outputs: Sequence[str] | None = None
) -> None:
    """Write the network in eval mode, with a dynamic batch dimension.

    For ``data.fit=whole``, height and width are dynamic too. The graph has all outputs of the
    network, or ``outputs``. Raises UserError if the network cannot be traced.
    """
    names = outputs or (OUTPUTS[:2] if network.decoder is None else OUTPUTS)
    model = _OnnxNetwork(network.cpu(), names).eval()
    height, width = config.data.size_HW
    dynamic = {0: torch.export.Dim("batch", min=1, max=4096)}
    if config.data.fit == "whole":
        # Odd sizes show every rounding to the tracer. A map of one position has several orders of
        # memory at once, so that channels_last makes the tracer forbid the sides that lead to it.
        order_weights(network, torch.contiguous_format)
        height, width = height + 13, width + 7
        sides = (torch.export.Dim(name, min=SMALLEST, max=_LARGEST) for name in ("height", "width"))
        dynamic |= dict(enumerate(sides, start=2))
    example = torch.zeros(2, config.data.channels, height, width)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        # The exporter warns about its own internals; the result is compared with torch before it is
        # used.
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                model,
                (example,),
                str(path),
                dynamo=True,
                opset_version=OPSET,
                external_data=False,
                input_names=[INPUT],
                output_names=list(names),
                dynamic_shapes=(dynamic,),
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise UserError(
                f"{config.encoder.name} with these parts cannot be written as ONNX"
                f" ({str(error).strip().splitlines()[0][:200]}): choose another encoder or decoder."
            ) from error
        finally:
            place(network, CPU)


def run_onnx(
    path: Path,
    values: NDArray[np.float32],
    *,
    needed: Sequence[str] = ("probabilities", "features"),
    run: RunGraph = run_here,
) -> Outputs:
    """Return the outputs of an ONNX file on the CPU by name; ``run`` is ``run_apart`` for others'.

    Raises UserError if the file is missing, damaged or another model's.
    """
    outputs = run(path, values, torch.get_num_threads())
    if not set(needed) <= outputs.keys():
        raise UserError(
            f"{path.name} has the outputs {', '.join(outputs)}, not {', '.join(needed)}; export the bundle again."
        )
    return outputs
