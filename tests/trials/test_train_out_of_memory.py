"""A fit on a device with little memory halves its micro-batch until a batch fits."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from venation.data.dataset import LeafDataset
from venation.data.loader import Loader, make_loader
from venation.data.manifest import Sample
from venation.errors import UsageError
from venation.models.network import MultitaskNetwork
from venation.models.network_config import DecoderConfig, WidthsConfig
from venation.trials.errors import TrialFailed
from venation.trials.evaluate import evaluate
from venation.trials.supernet import Supernet, fit_supernet
from venation.trials.train import EpochResult, finished_epochs, fit
from venation.trials.trial_config import TrainConfig

from .conftest import CONFIG

CPU = torch.device("cpu")
CLASSES = ("level", "slant", "upright")
Make = Callable[..., MultitaskNetwork]
Parts = tuple[list[Sample], list[Sample]]
MNSA = DecoderConfig(
    kind="mnsa", channels=8, widths=WidthsConfig(deform3=0.25, deform5=0, atrous2=0.5, atrous3=0, meanmax=0.25)
)
QUICK = TrainConfig(epochs=3, batch_size=8, lr=0.01, mask_weight=0.1)


class LimitedMemory:
    """Simulated device memory: from pass ``after`` on, more than ``images`` images do not fit.

    The failure is an allocator's error in the middle of a training forward pass.
    """

    def __init__(self, network: MultitaskNetwork, *, images: int, after: int = 0) -> None:
        self.images = images
        self.after = after
        self.passes = 0
        self.failures = 0
        self.seen: list[int] = []
        network.encoder.register_forward_pre_hook(self.check_batch)

    def check_batch(self, module: nn.Module, given: tuple[Tensor]) -> None:
        if not torch.is_inference_mode_enabled():
            self.passes += 1
            self.seen.append(len(given[0]))
            if len(given[0]) > self.images and self.passes > self.after:
                self.failures += 1
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def loaders(parts: Parts, size: int = 32) -> tuple[Loader, Loader]:
    train = LeafDataset(parts[0], CLASSES, CONFIG.model_copy(update={"hflip": 0.5, "size": size}), train=True)
    val = LeafDataset(parts[1], CLASSES, CONFIG.model_copy(update={"size": size}), train=False)
    return make_loader(train, batch_size=8, train=True, seed=0), make_loader(val, batch_size=8, train=False, seed=0)


def run(
    network: MultitaskNetwork, parts: Parts, config: TrainConfig = QUICK, *, size: int = 32, **options: Any
) -> Iterator[EpochResult]:
    given: dict[str, Any] = {"task": "classify", "device": CPU, "monitor": "accuracy"}
    return fit(network, *loaders(parts, size), config, **(given | options))


def without_seconds(results: list[EpochResult]) -> list[tuple[Any, ...]]:
    return [(r.epoch, r.losses, r.metrics, r.best, r.micro_batch) for r in results]


def assert_same(left: nn.Module, right: nn.Module) -> None:
    for name, tensor in left.state_dict().items():
        assert torch.equal(tensor, right.state_dict()[name]), name


@pytest.mark.parametrize("after", [0, 2], ids=["first batch", "last batch"])
def test_a_halved_fit_equals_a_fit_with_the_smaller_micro_batch(
    parts: Parts, make_network: Make, caplog: pytest.LogCaptureFixture, after: int
) -> None:
    """21 images in three batches; the last batch fails after two optimiser steps."""
    planned = make_network()
    expected = list(run(planned, parts, QUICK.model_copy(update={"micro_batch": 4})))
    network = make_network()
    memory = LimitedMemory(network, images=4, after=after)
    with caplog.at_level(logging.WARNING, "venation"):
        results = list(run(network, parts))
    assert without_seconds(results) == without_seconds(expected)
    assert [result.micro_batch for result in results] == [4, 4, 4]
    assert_same(planned, network)
    assert memory.failures == 1
    assert "out of memory in epoch 0: retrying with 4 images at a time" in caplog.text


@pytest.mark.parametrize("saved", [True, False])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_later_epoch_restarts_from_its_start(
    parts: Parts, make_network: Make, tmp_path: Path, saved: bool, optimizer: str
) -> None:
    """A failure in the last batch of an epoch has the result of a failure in its first."""
    ends = []
    for after in (3, 5):
        network = make_network()
        memory = LimitedMemory(network, images=4, after=after)
        path = tmp_path / f"{after}.safetensors" if saved else None
        results = list(run(network, parts, QUICK.model_copy(update={"optimizer": optimizer}), checkpoint=path))
        assert memory.failures == 1
        assert [result.micro_batch for result in results] == [0, 4, 4]
        ends.append((network, without_seconds(results)))
    assert ends[0][1] == ends[1][1]
    assert_same(ends[0][0], ends[1][0])


def test_an_epoch_of_a_decoder_restarts_from_its_start(parts: Parts, make_network: Make, unet: DecoderConfig) -> None:
    options = {"task": "segment", "monitor": "iou"}
    planned = make_network(decoder=unet)
    expected = list(run(planned, parts, QUICK.model_copy(update={"micro_batch": 4}), **options))
    network = make_network(decoder=unet)
    LimitedMemory(network, images=4, after=2)
    assert without_seconds(list(run(network, parts, **options))) == without_seconds(expected)
    assert_same(planned, network)


def test_a_resumed_fit_keeps_the_halved_micro_batch(parts: Parts, make_network: Make, tmp_path: Path) -> None:
    whole = make_network()
    LimitedMemory(whole, images=4)
    expected = list(run(whole, parts))
    path = tmp_path / "c.safetensors"
    cut = make_network()
    LimitedMemory(cut, images=4)
    first = run(cut, parts, checkpoint=path)
    results = [next(first)]
    first.close()
    assert finished_epochs(path)[0].micro_batch == 4
    resumed = make_network(seed=9)
    memory = LimitedMemory(resumed, images=4)
    results += list(run(resumed, parts, checkpoint=path))
    assert memory.failures == 0 and max(memory.seen) <= 4
    assert without_seconds(results) == without_seconds(expected)
    assert_same(whole, resumed)


def test_the_micro_batch_is_halved_until_it_fits(parts: Parts, make_network: Make, tmp_path: Path) -> None:
    """The sizes are 8, 4 and 2; resumed on a smaller device, 1."""
    planned = make_network()
    expected = list(run(planned, parts, QUICK.model_copy(update={"micro_batch": 2}), size=64))
    network = make_network()
    memory = LimitedMemory(network, images=2)
    assert without_seconds(list(run(network, parts, size=64))) == without_seconds(expected)
    assert memory.failures == 2
    assert_same(planned, network)
    path = tmp_path / "c.safetensors"
    next(run(network, parts, size=64, checkpoint=path))
    smaller_device = make_network()
    LimitedMemory(smaller_device, images=1)
    results = list(run(smaller_device, parts, size=64, checkpoint=path))
    assert [result.micro_batch for result in results] == [1, 1]


def test_the_trial_fails_if_one_image_does_not_fit(parts: Parts, make_network: Make, tmp_path: Path) -> None:
    network = make_network()
    memory = LimitedMemory(network, images=0)
    path = tmp_path / "c.safetensors"
    with pytest.raises(TrialFailed, match=r"out of memory in epoch 0, one image at a time: lower data\.size") as caught:
        next(run(network, parts, checkpoint=path))
    assert caught.value.cause == "oom" and isinstance(caught.value.__cause__, torch.OutOfMemoryError)
    assert memory.seen == [8, 4, 2, 1] and not path.exists()


def test_the_trial_fails_if_batch_norm_needs_more_images_than_fit(parts: Parts, make_network: Make) -> None:
    """A branch that pools to one cell needs two images: do not advise a larger micro-batch."""
    network = make_network(decoder=MNSA)
    LimitedMemory(network, images=1)
    options = {"task": "segment", "monitor": "iou"}
    with pytest.raises(TrialFailed, match=r"with more images at a time, and a batch of one image .*: lower data\.size"):
        next(run(network, parts, **options))
    with pytest.raises(UsageError, match=r"a batch of one image .*: raise train\.micro_batch"):
        next(run(make_network(decoder=MNSA), parts, QUICK.model_copy(update={"micro_batch": 1}), **options))


def test_a_supernet_halves_its_micro_batch(parts: Parts, make_network: Make) -> None:
    ends = []
    for size, images in ((4, 8), (0, 4)):
        network = make_network(decoder=MNSA)
        memory = LimitedMemory(network, images=images, after=2 * (images == 4))
        narrow = MNSA.model_copy(update={"widths": WidthsConfig(deform3=0.25, deform5=0, atrous2=0, atrous3=0)})
        supernet = Supernet(network, [MNSA, narrow])
        config = QUICK.model_copy(update={"micro_batch": size})
        results = list(fit_supernet(supernet, *loaders(parts), config, device=CPU, monitor="iou"))
        ends.append((network, without_seconds(results), memory.failures))
    assert [result[-1] for result in ends[0][1]] == [4, 4, 4]
    assert ends[0][1] == ends[1][1] and [end[2] for end in ends] == [0, 1]
    assert_same(ends[0][0], ends[1][0])


@pytest.mark.parametrize("task", ["classify", "segment"])
def test_a_validation_batch_that_does_not_fit_is_split_in_halves(
    parts: Parts, make_network: Make, unet: DecoderConfig, task: Literal["classify", "segment"]
) -> None:
    network = make_network(decoder=unet)
    _, loader = loaders(parts)
    whole = evaluate(network, loader, device=CPU, task=task)
    seen: list[int] = []

    def check_batch(_: nn.Module, given: tuple[Tensor]) -> None:
        if torch.is_inference_mode_enabled():
            seen.append(len(given[0]))
        if torch.is_inference_mode_enabled() and len(given[0]) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")

    limit = 2
    network.encoder.register_forward_pre_hook(check_batch)
    assert evaluate(network, loader, device=CPU, task=task) == pytest.approx(whole, abs=1e-5)
    assert seen[:7] == [8, 4, 2, 2, 4, 2, 2]
    limit = 0
    with pytest.raises(TrialFailed, match="out of memory in the validation of epoch 0: lower data.size") as caught:
        next(run(network, parts, QUICK, task=task, monitor="bce" if task == "segment" else "accuracy"))
    assert caught.value.cause == "oom"


def test_running_out_of_memory_for_the_data_fails_the_trial(
    parts: Parts, make_network: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(*_: Any) -> None:
        bytearray(1 << 50)

    monkeypatch.setattr("venation.data.dataset.read_image", greedy)
    with pytest.raises(TrialFailed, match="out of memory in epoch 0, one image at a time") as caught:
        next(run(make_network(), parts))
    assert isinstance(caught.value.__cause__, MemoryError)
