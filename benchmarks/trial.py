"""Compare a training step of MNSA's decoder with the classical implementation.

The network has densenet161, widths 1/8, t = 1/4 and 200 classes. The classical step is the
reference's, with the same weights and images: torchvision's deformable convolution, two passes of
the frozen encoder, convolutions instead of matrix products, a plain optimiser. Offsets start at
random, as the reference's do. The losses must agree. On a GPU both compute in half precision. On a
CPU with instructions for it, a third row is Venation's step under ``train.precision=bf16``, which
torchvision's operator does not support on a CPU.
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
# Images per step, their side, and timed steps; the classical step takes a quarter of a minute on
# one core.
IMAGES, SIDE, STEPS = (8, 448, 5) if CUDA else (2, 128, 2)

# Further settings of the recipe.
SETTINGS: dict[str, object] = {}

Step = Callable[[Batch], Tensor]


def config() -> TrialConfig:
    """Return the paper's recipe at this benchmark's size."""
    settings = {"encoder.weights": "none", "data.size": SIDE, **SETTINGS}
    return set_fields(recipe("mnsa", "decoder").config, settings)


def network() -> MultitaskNetwork:
    """Build the network, with equal weights at every call."""
    torch.manual_seed(0)
    built = build_network(config().network(CLASSES))
    for module in built.modules():
        if isinstance(module, DeformConv2d):
            module.offset[2].reset_parameters()
    built.to(DEVICE).freeze_base()
    return built.train()


def batch(side: int) -> Batch:
    """Return random images, and masks with five percent of vein."""
    generator = torch.Generator().manual_seed(side)
    image = torch.randn(IMAGES, 3, side, side, generator=generator)
    mask = (torch.rand(IMAGES, 1, side, side, generator=generator) < 0.05).float()
    whole = Batch(image, torch.zeros(IMAGES, dtype=torch.long), mask, torch.ones(IMAGES, dtype=torch.bool))
    return Batch(*(part.to(DEVICE) for part in whole))


def step(model: MultitaskNetwork, optimizer: torch.optim.Optimizer, *, twice: bool, half: bool) -> Step:
    """Return a training step; ``twice`` runs the encoder for label and mask, ``half`` is bf16."""
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
    """Return Venation's step."""
    model = network()
    assert model.decoder is not None
    return step(model, build_optimizer(model.decoder, config().train, DEVICE), twice=False, half=half)


def theirs() -> Step:
    """Return the classical step, which must run within ``classical``."""
    model, train = network(), config().train
    assert model.decoder is not None
    optimizer = torch.optim.SGD(
        model.decoder.parameters(), train.lr, momentum=train.momentum, weight_decay=train.weight_decay
    )
    return step(model, optimizer, twice=True, half=CUDA)


@contextmanager
def classical() -> Iterator[None]:
    """Replace every optimised operation by the framework's within the block."""

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
    """Return one line of the table: a warm-up step on small images, then the fastest timed step."""
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
    """Yield the table's lines, the classical one last."""
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
