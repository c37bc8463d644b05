"""ONNX exports of both forms of the plug-in module, with a free batch size, against torch."""

import numpy as np
import pytest
import torch
from torch import nn

from venation.bundles.onnx_model import run_onnx, write_onnx
from venation.data.data_config import DataConfig
from venation.models.build import build_network
from venation.models.network_config import EncoderConfig, PluginConfig
from venation.trials.trial_config import PluginLossConfig, TrainConfig, TrialConfig

FORMS = {
    "learned": PluginConfig(width=8, keep=(0.5, 4), joint=4, positions="learned"),
    "resized": PluginConfig(
        width=8, keep=(0.3, 1.0), joint=4, positions="resize", ranks="mean", bottom_up=True, rule="image"
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_export_agrees_with_torch_at_other_batch_sizes(form, tmp_path):
    torch.manual_seed(0)
    # An odd size: 5x5 and 3x3 positions are not related by a whole factor.
    plugin = FORMS[form]
    losses = PluginLossConfig(refine=1.0 if plugin.bottom_up else 0.0)
    config = TrialConfig(
        encoder=EncoderConfig(name="test_resnet"),
        gate="none",
        plugin=plugin,
        data=DataConfig(size=75),
        train=TrainConfig(plugin=losses),
    )
    network = build_network(config.network(4)).eval()
    nn.init.constant_(network.plugin.combiner.alpha, 0.7)
    for head in (*network.plugin.heads, *network.plugin.first_heads):
        nn.init.normal_(head[3].weight)
    path = tmp_path / "network.onnx"
    write_onnx(network, config, path)
    for images in (1, 3):
        image = torch.randn(images, 3, 75, 75)
        got = run_onnx(path, image.numpy())
        with torch.no_grad():
            wanted = network(image)
        assert np.ptp(wanted.logits_BN.exp().numpy()) > 0.01
        np.testing.assert_allclose(got["probabilities"], wanted.logits_BN.exp().numpy(), atol=1e-5)
        np.testing.assert_allclose(got["features"], wanted.features_BC.numpy(), atol=1e-5)
