"""A training step of MNSA's decoder (densenet161, widths 1/8, t = 1/4, 200 classes) against the classical way.

The classical way is the reference's, with the same weights on the same images: torchvision's deformable convolution,
the frozen encoder run twice, a convolution for what is a matrix product, a plain optimiser. Offsets start at random, as
the reference's do. The losses must agree. On a GPU both compute in half precision; on a CPU that has instructions for
it a third row is Venation's step under ``train.precision=bf16`` (torchvision's operator knows none on a CPU).
"""

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import cast
from unittest.mock import patch

import torch
from _report import write_report
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

from venation.data.dataset import Batch
from venation.models import enhancer
from venation.models.build import build_network
from venation.models.deform import DeformConv2d
from venation.models.network import MultitaskNetwork
from venation.models.wide_conv import WideConv2d
from venation.spaces.fields import set_fields
from venation.spaces.presets import recipe
from venation.trials.losses import task_loss
from venation.trials.optimise import build_optimizer
from venation.trials.trial_config import TrialConfig

CLASSES = 200
CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
# Images of a step, their side, and timed steps; the classical step takes a quarter of a minute on one core.
IMAGES, SIDE, STEPS = (8, 448, 5) if CUDA else (2, 128, 2)

Step = Callable[[Batch], Tensor]


def config() -> TrialConfig:
    """The paper's recipe at this benchmark's size."""
    settings = {"encoder.weights": "none", "data.size": SIDE}
    return set_fields(recipe("mnsa", "decoder").config, settings)


def network() -> MultitaskNetwork:
    """The network, the same at every call."""
    torch.manual_seed(0)
    built = build_network(config().network(CLASSES))
    for module in built.modules():
        if isinstance(module, DeformConv2d):
            module.offset[2].reset_parameters()
    built.to(DEVICE).freeze_base()
    return built.train()


def batch(side: int) -> Batch:
    """Images, and masks with a twentieth of vein."""
    generator = torch.Generator().manual_seed(side)
    image = torch.randn(IMAGES, 3, side, side, generator=generator)
    mask = (torch.rand(IMAGES, 1, side, side, generator=generator) < 0.05).float()
    whole = Batch(image, torch.zeros(IMAGES, dtype=torch.long), mask, torch.ones(IMAGES, dtype=torch.bool))
    return Batch(*(part.to(DEVICE) for part in whole))


def step(model: MultitaskNetwork, optimizer: torch.optim.Optimizer, *, twice: bool, half: bool) -> Step:
    """A step of training; ``twice`` runs the encoder for the label and again for the mask, ``half`` is bf16."""
    train = config().train

    def run(given: Batch) -> Tensor:
        optimizer.zero_grad()
        with torch.autocast(DEVICE.type, dtype=torch.bfloat16, enabled=half):
            if twice:
                model.encoder(given.image_BCHW)
            output = model(given.image_BCHW)
        loss = task_loss(output, given, train, task="segment", epoch=0).total
        loss.backward()
        optimizer.step()
        return loss.detach()

    return run


def ours(*, half: bool = CUDA) -> Step:
    """A step as Venation makes it."""
    model = network()
    assert model.decoder is not None
    return step(model, build_optimizer(model.decoder, config().train, DEVICE), twice=False, half=half)


def theirs() -> Step:
    """The classical step: to be run while ``classical`` holds."""
    model, train = network(), config().train
    assert model.decoder is not None
    optimizer = torch.optim.SGD(
        model.decoder.parameters(), train.lr, momentum=train.momentum, weight_decay=train.weight_decay
    )
    return step(model, optimizer, twice=True, half=CUDA)


@contextmanager
def classical() -> Iterator[None]:
    """Meanwhile every operation is the one that a framework has for it."""

    def branches(x_BCHW: Tensor, layers: Sequence[DeformConv2d]) -> list[Tensor]:
        return [
            deform_conv2d(x_BCHW, layer.offset(x_BCHW), layer.conv.weight, layer.conv.bias, padding=layer.padding)
            for layer in layers
        ]

    with ExitStack() as stack:
        stack.enter_context(patch.object(enhancer, "deform_branches", branches))
        stack.enter_context(patch.object(WideConv2d, "forward", nn.Conv2d.forward))
        yield


def measured(name: str, build: Callable[[], Step]) -> dict[str, object]:
    """One line of the table: a step on small images warms up, then the shortest of the timed ones."""
    run = build()
    losses = [float(run(batch(SIDE // 2)))]
    if CUDA:
        torch.cuda.reset_peak_memory_stats()
    given, times = batch(SIDE), []
    for _ in range(STEPS):
        started, worked = time.perf_counter(), time.process_time()
        losses.append(float(run(given)))
        times.append((time.perf_counter() - started, time.process_time() - worked))
    seconds, cpu_seconds = (min(column) for column in zip(*times, strict=True))
    row: dict[str, object] = {"step": name, "seconds": seconds, "cpu_seconds": cpu_seconds}
    row |= {"first_loss": losses[0], "second_loss": losses[1]}
    if CUDA:
        row["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
    return row


def rows() -> Iterator[dict[str, object]]:
    """The table's lines, the classical one last."""
    yield measured("venation", ours)
    gc.collect()
    if not CUDA and torch.cpu.get_capabilities().get("avx512_bf16"):
        yield measured("venation bf16", lambda: ours(half=True))
        gc.collect()
    with classical():
        yield measured("classical", theirs)


if __name__ == "__main__":
    table = list(rows())
    for column in ("seconds", "cpu_seconds"):
        taken = [cast(float, row[column]) for row in table]
        for row, own in zip(table, taken, strict=True):
            row[column.replace("seconds", "ratio")] = taken[-1] / own
    write_report("trial", table)
