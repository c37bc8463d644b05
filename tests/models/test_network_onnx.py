import warnings

import numpy as np
import onnxruntime
import pytest
import timm
import torch

from venation.models.decoders import MNSADecoder
from venation.models.encoder import Encoder
from venation.models.gate import SpatialGate
from venation.models.network import MultitaskNetwork
from venation.models.network_config import DecoderConfig, WidthsConfig


def test_export_agrees_with_torch_at_another_batch_size(tmp_path):
    torch.manual_seed(0)
    # The exporter's time grows with the number of operations, so two levels and one branch of each
    # kind suffice.
    encoder = Encoder(timm.create_model("test_resnet", features_only=True, out_indices=(1, 4)))
    widths = WidthsConfig(deform3=0.25, deform5=0, atrous2=0, atrous3=0.25, meanmax=0.25)
    decoder = MNSADecoder(encoder.out_channels, DecoderConfig(widths=widths, channels=8))
    network = MultitaskNetwork(encoder, SpatialGate("meanmax"), decoder, num_classes=4, full_size=True).eval()
    for module in network.modules():
        # Offsets start at zero; with zeros a broken export of the sampling would pass.
        if hasattr(module, "offset"):
            torch.nn.init.normal_(module.offset[-1].bias)
    example, image = torch.randn(2, 3, 64, 64), torch.randn(3, 3, 64, 64)
    batch = {"x_BCHW": {0: torch.export.Dim("batch")}}
    path = tmp_path / "network.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (example,), path, dynamo=True, verbose=False, dynamic_shapes=batch, optimize=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    exported = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    with torch.no_grad():
        expected = network(image)
    assert len(exported) == 4
    for got, wanted in zip(exported, expected[:4], strict=True):
        assert got.shape == wanted.shape
        assert np.abs(got - wanted.numpy()).max() == pytest.approx(0, abs=1e-4)
