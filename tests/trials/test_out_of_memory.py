"""A fit whose device holds only so many images: it halves its micro-batch once, and nothing of the failure is left."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from venation.data.dataset import LeafDataset, make_loader
from venation.data.manifest import Item
from venation.models.config import DecoderConfig
from venation.models.network import MultitaskNetwork
from venation.trials.config import TrainConfig
from venation.trials.errors import TrialFailed
from venation.trials.train import EpochResult, finished_epochs, fit

from .conftest import CONFIG

CLASSES = ("level", "slant", "upright")
Make = Callable[..., MultitaskNetwork]
Parts = tuple[list[Item], list[Item]]
QUICK = TrainConfig(epochs=3, batch_size=8, lr=0.01, mask_weight=0.1)


class Memory:
    """A device's memory: a training pass of more than ``images`` fails, from the pass numbered ``after`` on.

    It fails where an allocator does, in the middle of a forward pass, with what an allocator raises.
    """

    def __init__(self, network: MultitaskNetwork, *, images: int, after: int = 0) -> None:
        self.images = images
        self.after = after
        self.passes = 0
        self.failures = 0
        self.seen: list[int] = []
        network.encoder.register_forward_pre_hook(self.look)

    def look(self, module: nn.Module, given: tuple[Tensor]) -> None:
        if not torch.is_inference_mode_enabled():
            self.passes += 1
            self.seen.append(len(given[0]))
            if len(given[0]) > self.images and self.passes > self.after:
                self.failures += 1
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def run(network: MultitaskNetwork, parts: Parts, config: TrainConfig = QUICK, **options: Any) -> Iterator[EpochResult]:
    train = LeafDataset(parts[0], CLASSES, CONFIG.model_copy(update={"hflip": 0.5}), train=True)
    val = LeafDataset(parts[1], CLASSES, CONFIG, train=False)
    loaders = [make_loader(part, batch_size=8, train=part is train, seed=0) for part in (train, val)]
    given: dict[str, Any] = {"task": "classify", "device": torch.device("cpu"), "monitor": "accuracy"}
    return fit(network, loaders[0], loaders[1], config, **(given | options))


def told(results: list[EpochResult]) -> list[tuple[Any, ...]]:
    return [(r.epoch, r.losses, r.metrics, r.best, r.micro_batch) for r in results]


def assert_same(left: nn.Module, right: nn.Module) -> None:
    for name, tensor in left.state_dict().items():
        assert torch.equal(tensor, right.state_dict()[name]), name


@pytest.mark.parametrize("after", [0, 2], ids=["first batch", "last batch"])
def test_it_is_the_fit_that_the_smaller_micro_batch_would_have_been(
    parts: Parts, make_network: Make, caplog: pytest.LogCaptureFixture, after: int
) -> None:
    """21 images in three batches; the last one fails when two steps have moved weights, moments and statistics."""
    planned = make_network()
    expected = list(run(planned, parts, QUICK.model_copy(update={"micro_batch": 4})))
    network = make_network()
    memory = Memory(network, images=4, after=after)
    with caplog.at_level(logging.WARNING, "venation"):
        results = list(run(network, parts))
    assert told(results) == told(expected)
    assert [result.micro_batch for result in results] == [4, 4, 4]
    assert_same(planned, network)
    assert memory.failures == 1
    assert "out of memory in epoch 0: once more, with 4 images at a time" in caplog.text


@pytest.mark.parametrize("saved", [True, False])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_later_epoch_goes_back_to_its_own_start(
    parts: Parts, make_network: Make, tmp_path: Path, saved: bool, optimizer: str
) -> None:
    """Failing in the last batch of the second epoch leaves what failing in its first would have left."""
    ends = []
    for after in (3, 5):
        network = make_network()
        memory = Memory(network, images=4, after=after)
        path = tmp_path / f"{after}.safetensors" if saved else None
        results = list(run(network, parts, QUICK.model_copy(update={"optimizer": optimizer}), checkpoint=path))
        assert memory.failures == 1
        assert [result.micro_batch for result in results] == [0, 4, 4]
        ends.append((network, told(results)))
    assert ends[0][1] == ends[1][1]
    assert_same(ends[0][0], ends[1][0])


def test_a_decoder_goes_back_too(parts: Parts, make_network: Make, unet: DecoderConfig) -> None:
    options = {"task": "segment", "monitor": "iou"}
    planned = make_network(decoder=unet)
    expected = list(run(planned, parts, QUICK.model_copy(update={"micro_batch": 4}), **options))
    network = make_network(decoder=unet)
    Memory(network, images=4, after=2)
    assert told(list(run(network, parts, **options))) == told(expected)
    assert_same(planned, network)


def test_a_resumed_fit_keeps_the_micro_batch_that_was_found(parts: Parts, make_network: Make, tmp_path: Path) -> None:
    whole = make_network()
    Memory(whole, images=4)
    expected = list(run(whole, parts))
    path = tmp_path / "c.safetensors"
    cut = make_network()
    Memory(cut, images=4)
    first = run(cut, parts, checkpoint=path)
    results = [next(first)]
    first.close()
    assert finished_epochs(path)[0].micro_batch == 4
    resumed = make_network(seed=9)
    memory = Memory(resumed, images=4)
    results += list(run(resumed, parts, checkpoint=path))
    assert memory.failures == 0 and max(memory.seen) <= 4
    assert told(results) == told(expected)
    assert_same(whole, resumed)


def test_it_halves_once_in_a_fit_resumed_or_not(parts: Parts, make_network: Make, tmp_path: Path) -> None:
    network = make_network()
    Memory(network, images=3)
    with pytest.raises(TrialFailed, match=r"out of memory in epoch 0, 4 at a time: lower train\.micro_batch") as caught:
        next(run(network, parts))
    assert caught.value.cause == "oom" and isinstance(caught.value.__cause__, torch.OutOfMemoryError)
    path = tmp_path / "c.safetensors"
    cut = make_network()
    Memory(cut, images=4)
    next(run(cut, parts, checkpoint=path))
    smaller_device = make_network()
    Memory(smaller_device, images=3)
    with pytest.raises(TrialFailed, match="out of memory in epoch 1, 4 at a time"):
        next(run(smaller_device, parts, checkpoint=path))
    assert len(finished_epochs(path)) == 1


def test_one_image_cannot_be_halved(parts: Parts, make_network: Make) -> None:
    network = make_network()
    memory = Memory(network, images=0)
    with pytest.raises(TrialFailed, match="out of memory in epoch 0, 1 at a time"):
        next(run(network, parts, QUICK.model_copy(update={"micro_batch": 1})))
    assert memory.failures == 1


def test_no_memory_for_the_data_is_no_bug_either(
    parts: Parts, make_network: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(*_: Any) -> None:
        bytearray(1 << 50)

    monkeypatch.setattr("venation.data.dataset.read_image", greedy)
    with pytest.raises(TrialFailed, match="out of memory in epoch 0, 4 at a time") as caught:
        next(run(make_network(), parts))
    assert isinstance(caught.value.__cause__, MemoryError)
