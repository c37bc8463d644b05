"""Export a network to ONNX, for machines without torch, and run the file."""

import contextlib
import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from onnxruntime.capi import onnxruntime_pybind11_state as onnx_errors
from torch import Tensor, nn

from ..errors import UserError
from ..models.mask_logits import mask_probabilities
from ..models.network import MultitaskNetwork
from ..trials.trial_config import TrialConfig
from .bundle import ONNX, BundleRecord

# The first opset with all operators that the exporter emits for grid_sample; onnxruntime rejects
# 18.
OPSET = 20
INPUT = "image"
OUTPUTS = ("probabilities", "features", "mask")

# The errors of onnxruntime for a file that it cannot load or run; the classes have no common base
# class.
_ERRORS = (
    onnx_errors.Fail,
    onnx_errors.InvalidArgument,
    onnx_errors.InvalidGraph,
    onnx_errors.InvalidProtobuf,
    onnx_errors.NoSuchFile,
    onnx_errors.NotImplemented,
    onnx_errors.RuntimeException,
    ValueError,
)


class _OnnxNetwork(nn.Module):
    """The exported graph: image (B, channels, H, W) -> probabilities (B, N), features (B, C), mask.

    The images are normalised. The mask is a map of probabilities (B, 1, h, w), or with several mask
    classes one of the background and one of each class (B, K, h, w). ``outputs`` names those that
    it has.
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
        return tuple(parts[name] for name in self.outputs)


def write_graphs(network: MultitaskNetwork, record: BundleRecord, folder: Path) -> None:
    """Write the network into a bundle's ``folder``: one graph, or one for each image size.

    A view with ``fit=patch`` has a graph of its windows.
    """
    config = record.config
    if network.decoder is None or record.mask_graph == ONNX:
        write_onnx(network, config, folder / ONNX)
        return
    write_onnx(network, config, folder / ONNX, outputs=OUTPUTS[:2])
    of_masks = config.model_copy(update={"data": record.mask_view})
    write_onnx(network, of_masks, folder / record.mask_graph, outputs=OUTPUTS[2:])


def write_onnx(
    network: MultitaskNetwork, config: TrialConfig, path: Path, *, outputs: Sequence[str] | None = None
) -> None:
    """Write the network in eval mode, with a dynamic batch dimension.

    The graph has all outputs of the network, or ``outputs``.
    """
    names = outputs or OUTPUTS[: 2 if network.decoder is None else 3]
    model = _OnnxNetwork(network.cpu(), names).eval()
    example = torch.zeros(2, config.data.channels, *config.data.size_HW)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        # The exporter warns about its own internals; the result is compared with torch before it is
        # used.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (example,),
            str(path),
            dynamo=True,
            opset_version=OPSET,
            external_data=False,
            input_names=[INPUT],
            output_names=list(names),
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=4096)},),
        )


def run_onnx(
    path: Path, image_BCHW: Tensor, *, needed: Sequence[str] = ("probabilities", "features")
) -> dict[str, np.ndarray]:
    """Return the outputs of an ONNX file on the CPU by name.

    Raises UserError if the file is missing, damaged or another model's.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        outputs = dict(zip(names, session.run(names, {INPUT: image_BCHW.numpy()}), strict=True))
    except _ERRORS as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path.name} cannot be run ({reason}); export the bundle again.") from None
    if not set(needed) <= outputs.keys():
        raise UserError(
            f"{path.name} has the outputs {', '.join(names)}, not {', '.join(needed)}; export the bundle again."
        )
    return outputs
