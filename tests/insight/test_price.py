"""The price of an epoch: bytes counted by hand, seconds extrapolated from a few steps."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from venation.data.data_config import DataConfig
from venation.data.dataset import LeafDataset
from venation.data.manifest import Manifest, load_manifest
from venation.data.synthetic import write_leaves
from venation.insight import price
from venation.insight.price import kept_bytes, measure, weight_bytes
from venation.models.build import build_network
from venation.models.encoder import build_encoder
from venation.models.network_config import DecoderConfig, EncoderConfig, NetworkConfig
from venation.trials.errors import TrialFailed
from venation.trials.optimise import build_optimizer
from venation.trials.train import EpochResult
from venation.trials.trial_config import TrainConfig
from venation.trials.weight_average import WeightAverage

CPU = torch.device("cpu")
CONFIG = TrainConfig(batch_size=4, precision="fp32")
NETWORK = NetworkConfig(encoder=EncoderConfig(name="test_resnet"), num_classes=3, size=(32, 32))


@pytest.fixture(scope="module")
def leaves(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    root = tmp_path_factory.mktemp("price") / "leaves"
    write_leaves(root, classes=3, images=6, size=40, seed=1)
    return load_manifest(root)


def dataset(leaves: Manifest, *, train: bool) -> LeafDataset:
    return LeafDataset(leaves.samples, leaves.classes, DataConfig(size=32), train=train)


def price_of(
    leaves: Manifest, network: Any = None, config: TrainConfig = CONFIG, task: Any = "classify"
) -> price.Price:
    parts = dataset(leaves, train=True), dataset(leaves, train=False)
    return measure(network or build_network(NETWORK), *parts, leaves.classes, config, task=task, device=CPU)


def test_kept_bytes_match_a_count_by_hand() -> None:
    network = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 5), nn.Sigmoid())
    x = torch.randn(7, 10)
    # The first layer keeps its input, ReLU and sigmoid their outputs. The ReLU's output is also the
    # next layer's input and counts once.
    assert kept_bytes(network, lambda: network(x)) == 4 * 7 * (10 + 20 + 5)
    for parameter in network[0].parameters():
        parameter.requires_grad_(False)
    assert kept_bytes(network, lambda: network(x)) == 4 * 7 * (20 + 5)
    with torch.no_grad():
        assert kept_bytes(network, lambda: network(x)) == 0


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig(optimizer="adamw"),
        TrainConfig(optimizer="adamw", ema=0.9),
        TrainConfig(optimizer="sgd", momentum=0.9),
        TrainConfig(optimizer="sgd", momentum=0.0),
    ],
    ids=["adamw", "averaged", "momentum", "plain"],
)
def test_weight_bytes_count_weights_gradients_and_moments(config: TrainConfig) -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 1))
    for parameter in network[2].parameters():
        parameter.requires_grad_(False)
    optimizer = build_optimizer(network, config, CPU)
    network(torch.randn(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    state = [value for held in optimizer.state.values() for key, value in held.items() if key != "step"]
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    average = WeightAverage(network, config.ema).tensors.values() if config.ema else ()
    tensors = [*network.state_dict().values(), *gradients, *average, *(value for value in state if value is not None)]
    assert weight_bytes(network, config) == sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def test_activation_memory_is_proportional_to_the_batch(leaves: Manifest) -> None:
    small, large = (price_of(leaves, config=CONFIG.model_copy(update={"batch_size": size})) for size in (2, 4))
    network = build_network(NETWORK)
    fixed = weight_bytes(network, CONFIG)
    assert not small.memory_measured and fixed < small.memory_bytes < large.memory_bytes
    # Everything except weights and BatchNorm statistics is proportional to the batch.
    assert (large.memory_bytes - fixed) / (small.memory_bytes - fixed) == pytest.approx(2, rel=0.02)
    assert small.epoch_seconds > 0


def test_a_decoder_is_priced_on_images_with_masks_and_the_base_stays(leaves: Manifest) -> None:
    samples = tuple(sample if n in (7, 13) else replace(sample, mask=None) for n, sample in enumerate(leaves.samples))
    network = build_network(NETWORK.model_copy(update={"decoder": DecoderConfig(kind="unet", channels=8)}))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert price_of(replace(leaves, samples=samples), network, task="segment").epoch_seconds > 0
    after = network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if not name.startswith("decoder."))
    assert not any(parameter.requires_grad for parameter in network.encoder.parameters())


def test_seconds_are_extrapolated_to_all_images(leaves: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three steps of 4 images, extrapolated to 18 training and 18 validation images.

    The steps took 6 s, 1 s of it for the validation of 4 images. The epoch with its checkpoint took
    6.5 s, and decoding 12 images 1 s.
    """
    clock: list[float] = []

    def fit(*_: Any, **__: Any) -> Iterator[EpochResult]:
        yield EpochResult(0, {}, {}, 99.0, True)
        yield EpochResult(1, {}, {}, 6.0, True)

    def seconds(work: Any) -> float:
        work()
        return clock.pop(0)

    monkeypatch.setattr(price, "fit", fit)
    monkeypatch.setattr(price, "_seconds", seconds)
    clock += [1.0, 6.5, 1.0]
    plain = 0.5 + 5.0 * 18 / 12 + 1.0 * 18 / 4
    assert price_of(leaves).epoch_seconds == pytest.approx(plain)
    # Images beyond the cache are decoded in every epoch.
    each = 32 * 32 * 4
    monkeypatch.setenv("VENATION_CACHE_GIB", str(10 * each / 1024**3))
    few = dataset(leaves, train=True)
    few[0]
    assert few.cached_bytes == each
    again = (18 - 10) / 12 + (18 - 10) / 12
    clock += [1.0, 6.5, 1.0]
    assert price_of(leaves).epoch_seconds == pytest.approx(plain + again)


def test_out_of_memory_is_a_failure_of_the_trial(leaves: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("full")

    network = build_network(NETWORK)
    monkeypatch.setattr(network, "forward", full)
    with pytest.raises(TrialFailed, match="out of memory") as caught:
        price_of(leaves, network)
    assert caught.value.cause == "oom"


def test_a_diverging_learning_rate_has_a_price(leaves: Manifest) -> None:
    wild = CONFIG.model_copy(update={"lr": 1e30, "optimizer": "sgd"})
    assert price_of(leaves, config=wild).epoch_seconds > 0


def test_the_price_is_that_of_the_micro_batch_that_fits(leaves: Manifest) -> None:
    """The device has room for two images at a time, so two images' activations are counted."""
    two, four = (price_of(leaves, config=CONFIG.model_copy(update={"micro_batch": size})) for size in (2, 0))
    network = build_network(NETWORK)

    def limit_batch(_: nn.Module, given: tuple[torch.Tensor]) -> None:
        if len(given[0]) > 2 and not torch.is_inference_mode_enabled():
            raise torch.OutOfMemoryError("full")

    network.encoder.register_forward_pre_hook(limit_batch)
    found = price_of(leaves, network)
    assert found.memory_bytes == two.memory_bytes < four.memory_bytes


@pytest.mark.parametrize("still", [True, False])
def test_frozen_children_build_no_graph(still: bool) -> None:
    """No activations of frozen layers are kept, with frozen BatchNorm statistics or without."""
    x = torch.randn(2, 3, 32, 32)
    kept = []
    for children in (0, 5, 8):
        config = EncoderConfig(name="test_resnet", frozen_children=children, frozen_bn_eval=still)
        encoder = build_encoder(config).train()
        frozen = sum(not parameter.requires_grad for parameter in encoder.parameters())
        assert (children > 0) == (frozen > 0)
        kept.append(kept_bytes(encoder, lambda encoder=encoder: encoder(x)))
    assert kept[0] > kept[1] > kept[2] == 0
