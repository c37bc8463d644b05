"""Training with BatchNorm statistics that stay as they are."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from venation.models.build import build_network
from venation.models.encoder import build_encoder
from venation.models.network import MultitaskNetwork
from venation.models.network_config import EncoderConfig, NetworkConfig

from .conftest import SIZE
from .test_train import QUICK, Parts, run


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "densenet121"])
def test_every_batch_norm_normalises_by_its_running_statistics(name: str) -> None:
    """Each norm's output, before a fused activation, against the formula in NumPy."""
    torch.manual_seed(0)
    encoder = build_encoder(EncoderConfig(name=name))
    encoder.freeze_statistics()
    encoder.train()
    norms = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms and encoder.body.training and not any(norm.training for norm in norms)
    norm = norms[-1]
    norm.running_mean.uniform_(-1, 1)
    norm.running_var.uniform_(0.5, 2)
    x_BCHW = torch.randn(2, norm.num_features, 3, 3)
    shift, scale = norm.running_mean.numpy(), np.sqrt(norm.running_var.numpy() + norm.eps)
    expected = (x_BCHW.numpy() - shift[:, None, None]) / scale[:, None, None]
    plain = nn.BatchNorm2d.forward(norm, x_BCHW).detach().numpy()
    np.testing.assert_allclose(plain, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("frozen", [False, True])
def test_a_fit_keeps_statistics_and_trains_weights(
    parts: Parts, make_network: Callable[..., MultitaskNetwork], frozen: bool
) -> None:
    network = make_network()
    before = {name: tensor.clone() for name, tensor in network.encoder.state_dict().items()}
    list(run(network, parts, QUICK.model_copy(update={"frozen_bn": frozen, "epochs": 1})))
    after = network.encoder.state_dict()
    kept = {name.rsplit(".", 1)[1] for name in before if torch.equal(before[name], after[name])}
    statistics = {"running_mean", "running_var", "num_batches_tracked"}
    assert kept == (statistics if frozen else set())


def test_an_encoder_without_batch_norm_trains_as_before(parts: Parts) -> None:
    config = NetworkConfig(encoder=EncoderConfig(name="test_vit"), num_classes=3, size=(SIZE, SIZE))
    losses = []
    for frozen in (False, True):
        torch.manual_seed(0)
        results = run(build_network(config), parts, QUICK.model_copy(update={"frozen_bn": frozen, "epochs": 1}))
        losses.append([result.losses for result in results])
    assert losses[0] == losses[1]


def test_a_batch_of_one_image_trains_with_frozen_statistics(
    parts: Parts, make_network: Callable[..., MultitaskNetwork]
) -> None:
    config = QUICK.model_copy(update={"frozen_bn": True, "micro_batch": 1, "epochs": 1})
    (result,) = run(make_network(), parts, config)
    assert np.isfinite(result.losses["total"])
