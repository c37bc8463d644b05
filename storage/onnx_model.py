"""The network as ONNX, for machines without torch; and the check that it says the same."""

import contextlib
import io
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from ..models.network import MultitaskNetwork
from ..trials.config import TrialConfig

OPSET = 20  # the first with every operator that the exporter emits for grid_sample; onnxruntime rejects 18
INPUT = "image"
OUTPUTS = ("probabilities", "features", "mask")


class _Deployed(nn.Module):
    """Normalised images (B, 3, H, W) -> class probabilities (B, N), features (B, C), mask probabilities (B, 1, h, w)."""

    def __init__(self, network: MultitaskNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        output = self.network(image)
        parts = (output.logits_BN.softmax(dim=1), output.features_BC)
        return parts if output.mask_logits_B1HW is None else (*parts, output.mask_logits_B1HW.sigmoid())


def write_onnx(network: MultitaskNetwork, config: TrialConfig, path: Path) -> None:
    """Write the network in eval mode, with a free batch dimension."""
    model = _Deployed(network.cpu()).eval()
    example = torch.zeros(2, 3, config.data.size, config.data.size)
    names = OUTPUTS[: 2 if network.decoder is None else 3]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        # The exporter warns of its own internals; what it wrote is compared with torch before anyone relies on it.
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


def run_onnx(path: Path, image_BCHW: Tensor) -> dict[str, np.ndarray]:
    """The outputs of an ONNX file on the CPU, by name."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {INPUT: image_BCHW.numpy()}), strict=True))
