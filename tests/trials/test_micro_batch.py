"""A batch in chunks has the whole batch's gradients and losses, for all chunk sizes and masks."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.profiler import profile

from venation.data.dataset import Batch
from venation.models.build import build_network
from venation.models.network import MultitaskNetwork
from venation.models.network_config import DecoderConfig, EncoderConfig, NetworkConfig, PluginConfig
from venation.trials.errors import TrialFailed, is_out_of_memory
from venation.trials.kinds import Task
from venation.trials.losses import task_loss
from venation.trials.micro_batch import add_gradients, split_batch
from venation.trials.trial_config import PluginLossConfig, TrainConfig

SIZE = 32
IMAGES = 7
PLUGIN = PluginConfig(width=8, keep=(0.5, 0.5, 0.5), joint=4, bottom_up=True)


def batch_of(images: int = IMAGES) -> Batch:
    """Return images with masks, without masks and with empty ones, so that chunk weights differ."""
    rng = torch.Generator().manual_seed(0)
    masks = (torch.rand(images, 1, SIZE, SIZE, generator=rng) < 0.2).float()
    has_mask = torch.arange(images) % 3 != 1
    masks[~has_mask] = 0
    masks[-1] = 0
    return Batch(torch.randn(images, 3, SIZE, SIZE, generator=rng), torch.arange(images) % 3, masks, has_mask)


def network_of(**parts: Any) -> MultitaskNetwork:
    """Return a network in eval mode, in which BatchNorm treats every image separately."""
    torch.manual_seed(0)
    encoder = EncoderConfig(name="test_resnet")
    return build_network(NetworkConfig(encoder=encoder, num_classes=3, size=(SIZE, SIZE), **parts)).eval()


def gradients(network: MultitaskNetwork, backward: Callable[[], Any]) -> tuple[dict[str, Tensor], Any]:
    network.zero_grad(set_to_none=True)
    result = backward()
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}, result


def assert_close(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert left.keys() == right.keys() and left
    largest = max(float(tensor.abs().max()) for tensor in left.values())
    for name, tensor in left.items():
        torch.testing.assert_close(tensor, right[name], rtol=0, atol=1e-6 * max(largest, 1.0), msg=name)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("soft", [False, True])
def test_chunks_add_up_with_class_weights_and_soft_labels(soft: bool, size: int) -> None:
    network, batch, weight_N = network_of(), batch_of(), torch.tensor([0.2, 1.0, 5.0])
    if soft:
        batch = batch._replace(label_B=torch.rand(IMAGES, 3, generator=torch.Generator().manual_seed(1)).softmax(dim=1))
    results = []
    for at_once in (0, size):
        options: dict[str, Any] = {"task": "classify", "epoch": 0, "group": 1, "class_weight_N": weight_N}
        work = partial(add_gradients, network, batch, TrainConfig(), size=at_once, **options)
        results.append(gradients(network, work))
    assert_close(results[0][0], results[1][0])
    assert float(results[1][1]["ce"]) == pytest.approx(float(results[0][1]["ce"]), rel=1e-5)


@pytest.mark.parametrize("size", [1, 2, 3, 6])
@pytest.mark.parametrize(
    ("task", "parts", "config"),
    [
        ("classify", {}, TrainConfig(mask_weight=2.0, label_smoothing=0.1)),
        ("classify", {"gate": "none"}, TrainConfig(mask_weight=2.0)),
        ("classify", {"plugin": PLUGIN}, TrainConfig(plugin=PluginLossConfig(selected=1.0, refine=1.0))),
        ("segment", {"decoder": DecoderConfig(kind="unet", channels=8)}, TrainConfig()),
        (
            "multitask",
            {"decoder": DecoderConfig(kind="unet", channels=8)},
            TrainConfig(mask_weight=2.0, mask_loss_weight=3.0),
        ),
    ],
    ids=["gate", "plain", "plugin", "decoder", "both"],
)
def test_chunks_add_up_to_the_batch(task: Task, parts: dict[str, Any], config: TrainConfig, size: int) -> None:
    network, batch = network_of(**parts), batch_of()

    def whole() -> dict[str, Tensor]:
        output = network(batch.image_BCHW, segment=task != "classify")
        loss = task_loss(output, batch, config, task=task, epoch=0)
        (loss.total / 3).backward()
        return {name: value.detach() for name, value in (loss.parts | {"total": loss.total}).items()}

    def chunked() -> dict[str, Tensor]:
        return add_gradients(network, batch, config, task=task, epoch=0, group=3, size=size)

    expected, losses = gradients(network, whole)
    found, added = gradients(network, chunked)
    assert_close(expected, found)
    assert added.keys() == losses.keys()
    for name, value in losses.items():
        assert float(added[name]) == pytest.approx(float(value), rel=2e-6, abs=1e-6), name


@pytest.mark.parametrize("size", [0, IMAGES, 99])
def test_a_batch_in_one_chunk_is_identical_to_the_whole_batch(size: int) -> None:
    network, batch, config = network_of().train(), batch_of(), TrainConfig(mask_weight=1.0)
    options: dict[str, Any] = {"task": "classify", "epoch": 0}

    def plain() -> None:
        task_loss(network(batch.image_BCHW, segment=False), batch, config, **options).total.backward()

    expected, _ = gradients(network, plain)
    found, _ = gradients(network, lambda: add_gradients(network, batch, config, group=1, size=size, **options))
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.parametrize(
    ("images", "size", "sizes"),
    [(8, 0, [8]), (8, 4, [4, 4]), (9, 4, [3, 3, 3]), (7, 3, [3, 2, 2]), (5, 4, [3, 2]), (2, 1, [1, 1]), (3, 8, [3])],
)
def test_chunks_have_nearly_equal_sizes_within_the_limit(images: int, size: int, sizes: list[int]) -> None:
    batch = batch_of(images)
    chunks = list(split_batch(batch, size))
    assert [len(chunk.label_B) for chunk in chunks] == sizes
    for whole, parts in zip(batch, zip(*chunks, strict=True), strict=True):
        assert torch.equal(whole, torch.cat(parts))


def test_a_batch_without_masks_gives_a_decoder_zero_gradients() -> None:
    network = network_of(decoder=DecoderConfig(kind="unet", channels=8))
    batch = batch_of()._replace(has_mask_B=torch.zeros(IMAGES, dtype=torch.bool))
    config = TrainConfig(dice_weight=1.0)
    found, losses = gradients(
        network, lambda: add_gradients(network, batch, config, task="segment", epoch=0, group=1, size=3)
    )
    assert {name: float(value) for name, value in losses.items()} == {"bce": 0.0, "dice": 0.0, "total": 0.0}
    assert all(torch.count_nonzero(gradient) == 0 for gradient in found.values())


@pytest.mark.parametrize("size", [0, 3])
def test_a_step_does_not_synchronise_with_the_host(size: int) -> None:
    """`.item()`, `float()` and `bool()` call ``_local_scalar_dense``: on a GPU the host waits."""
    network, batch, config = network_of().train(), batch_of(), TrainConfig(mask_weight=1.0)
    with profile() as watched:
        add_gradients(network, batch, config, task="classify", epoch=0, group=1, size=size)
    names = {event.key for event in watched.key_averages()}
    assert "aten::convolution" in names
    assert not {"aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero"} & names


def test_a_network_is_one_graph_for_the_compiler() -> None:
    """``fullgraph`` raises at every graph break; the eager backend runs the captured graph."""
    network, batch = network_of(decoder=DecoderConfig(kind="mnsa", channels=8, full_size=True)), batch_of(2)
    whole = network(batch.image_BCHW)
    captured = torch.compile(network, backend="eager", fullgraph=True)(batch.image_BCHW)
    torch.testing.assert_close(captured.logits_BN, whole.logits_BN)
    torch.testing.assert_close(captured.mask_logits_B1HW, whole.mask_logits_B1HW)


@pytest.mark.parametrize(
    "greedy",
    [lambda: torch.empty(1 << 50), lambda: np.empty(1 << 50), lambda: bytearray(1 << 50)],
    ids=["torch", "numpy", "python"],
)
def test_out_of_memory_errors_of_all_allocators_are_recognised(greedy: Callable[[], Any]) -> None:
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        greedy()
    assert is_out_of_memory(caught.value)


def test_other_errors_are_not_out_of_memory() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
    with pytest.raises(RuntimeError) as caught:
        torch.ones(2) @ torch.ones(3)
    for error in (caught.value, OSError("can't allocate memory"), TrialFailed("nan", "ce became nan")):
        assert not is_out_of_memory(error)
