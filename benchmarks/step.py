"""Compare an epoch of `fit` with a straightforward loop: seconds, memory and losses.

Both see the same images in the same order with the same augmentation. Seconds are the best of three
epochs, with the two loops alternating, validation included; on a CPU they are CPU time. Memory is
that which a batch stores for its backward pass; on a GPU it is the peak.

``loading`` is the share of an epoch of `fit` spent on cached training images. ``base`` is the
encoder's share of a batch's gradients, the most that caching its levels could save. ``fused`` is
the speed-up of the fused optimiser. ``channels_last`` and, on a GPU, ``compiled`` are the speed-ups
of the gradients in that memory format and by torch.compile.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from _plain_loop import plain_fit, plain_loss, switch_to_training, to_gpu
from _report import write_report
from _step_cases import CASES, CONFIG, CUDA, DEVICE, Case, build, loader, write_photos

from venation.data.dataset import Batch
from venation.data.manifest import Manifest
from venation.insight.price import kept_bytes
from venation.models.memory_format import order_weights
from venation.models.network import MultitaskNetwork
from venation.trials.micro_batch import add_gradients
from venation.trials.train import fit

_MIB = 1024**2
_clock = time.perf_counter if CUDA else time.process_time


def best_seconds(run: Callable[[], object], *, repeats: int = 5) -> float:
    """Return the shortest of a few times of ``run``; the first run does not count."""
    run()
    times = []
    for _ in range(repeats):
        started = _clock()
        run()
        if CUDA:
            torch.cuda.synchronize()
        times.append(_clock() - started)
    return min(times)


def our_fit(case: Case, manifest: Manifest) -> Iterator[float]:
    """Yield the mean training loss of every epoch of `fit`, without checkpoints."""
    parts = [loader(manifest, train=train) for train in (True, False)]
    monitor = "iou" if case.task == "segment" else "accuracy"
    for result in fit(build(case), *parts, CONFIG, task=case.task, device=DEVICE, monitor=monitor):
        yield result.losses["total"]


def epochs(loop: Iterator[float]) -> Iterator[tuple[float, float, float]]:
    """Yield loss, seconds and, on a GPU, MiB of every epoch."""
    while True:
        if CUDA:
            torch.cuda.reset_peak_memory_stats()
        started = _clock()
        try:
            loss = next(loop)
        except StopIteration:
            return
        yield loss, _clock() - started, torch.cuda.max_memory_allocated() / _MIB if CUDA else 0.0


def prepared(case: Case) -> MultitaskNetwork:
    """Return the case's network as `fit` prepares it."""
    network = build(case)
    if case.task == "segment":
        network.freeze_base()
    return network.train()


def step_seconds(
    case: Case, batch: Batch, memory_format: torch.memory_format = torch.contiguous_format, *, compiled: bool = False
) -> float:
    """Time a batch's gradients."""
    network = prepared(case)
    order_weights(network, memory_format)
    if compiled:
        network = torch.compile(network)

    def step() -> None:
        network.zero_grad()
        add_gradients(network, batch, CONFIG, task=case.task, epoch=0, group=1, size=0)

    return best_seconds(step)


def base_seconds(case: Case, batch: Batch) -> float:
    """Time the encoder's pass without a graph."""
    network = prepared(case).eval()
    with torch.no_grad():
        return best_seconds(lambda: network.encoder(batch.image_BCHW))


def optimizer_seconds(case: Case, *, fused: bool) -> float:
    """Time a step of AdamW with a negligible learning rate."""
    network = prepared(case)
    part = network.decoder if case.task == "segment" else network
    assert part is not None
    parameters = [parameter for parameter in part.parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer = torch.optim.AdamW(parameters, 1e-12, foreach=False, fused=fused)
    return best_seconds(optimizer.step)


def loading_seconds(manifest: Manifest) -> float:
    """Time the loading of an epoch's training images from the cache."""
    images = loader(manifest, train=True)
    return best_seconds(lambda: list(images))


def kept_mib(case: Case, batch: Batch) -> tuple[float, float]:
    """Return the MiB that a batch stores for the backward pass, in the plain loop and in `fit`."""
    plain, ours = build(case).requires_grad_(), prepared(case)
    switch_to_training(plain, case)
    both = [kept_bytes(network, lambda network=network: plain_loss(network, batch, case)) for network in (plain, ours)]
    return both[0] / _MIB, both[1] / _MIB


def row(case: Case, manifest: Manifest) -> dict[str, object]:
    """Return one line of the table; each loop's first epoch is a warm-up.

    In `fit` it also fills the image cache.
    """
    turns = list(zip(epochs(plain_fit(case, manifest)), epochs(our_fit(case, manifest)), strict=True))
    batch = to_gpu(next(iter(loader(manifest, train=True))))
    (plain_s, plain_mib), (our_s, our_mib) = (
        (min(turn[loop][1] for turn in turns[1:]), max(turn[loop][2] for turn in turns)) for loop in (0, 1)
    )
    if not CUDA:
        plain_mib, our_mib = kept_mib(case, batch)
    step_s = step_seconds(case, batch)
    compiled = {"compiled": step_s / step_seconds(case, batch, compiled=True)} if CUDA else {}
    return {
        "case": case.name,
        "plain_s": plain_s,
        "fit_s": our_s,
        "ratio": plain_s / our_s,
        "plain_mib": plain_mib,
        "fit_mib": our_mib,
        "difference": max(abs(plain[0] - ours[0]) / plain[0] for plain, ours in turns),
        "loading": loading_seconds(manifest) / our_s,
        "fused": optimizer_seconds(case, fused=False) / optimizer_seconds(case, fused=True),
        "base": base_seconds(case, batch) / step_s,
        "channels_last": step_s / step_seconds(case, batch, torch.channels_last),
    } | compiled


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        photos = write_photos(Path(folder) / "leaves")
        write_report("step", [row(case, photos) for case in CASES])
