"""An epoch of `fit` against the loop that everybody writes first: seconds, memory, and the same losses.

Both see the same images in the same order with the same random changes. Seconds are the best of three epochs, the two
loops in turn, validation included; on a CPU those of the processor, whatever else it has to do. Memory is what a batch
keeps for its backward pass; on a GPU the highest in use. ``loading`` is the share of an epoch of `fit` that goes into
its kept training images, ``base`` the encoder's share of a batch's gradients, hence what keeping its levels could save
at most. ``fused`` is how many times faster the optimiser is than unfused; ``channels_last`` and, on a GPU, ``compiled``
how many times faster the gradients would be in that memory format, or by torch.compile.
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
from venation.models.network import MultitaskNetwork
from venation.trials.micro_batch import add_gradients
from venation.trials.train import fit

_MIB = 1024**2
_clock = time.perf_counter if CUDA else time.process_time


def best_seconds(run: Callable[[], object], *, repeats: int = 5) -> float:
    """The shortest of a few times of ``run``; the first run is not counted."""
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
    """`fit` as trials run it, but for the checkpoint; yields the mean training loss of every epoch."""
    parts = [loader(manifest, train=train) for train in (True, False)]
    monitor = "iou" if case.task == "segment" else "accuracy"
    for result in fit(build(case), *parts, CONFIG, task=case.task, device=DEVICE, monitor=monitor):
        yield result.losses["total"]


def epochs(loop: Iterator[float]) -> Iterator[tuple[float, float, float]]:
    """Loss, seconds and, on a GPU, MiB of every epoch."""
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
    """The case's network as `fit` prepares it."""
    network = build(case)
    if case.task == "segment":
        network.freeze_base()
    return network.train()


def step_seconds(
    case: Case, batch: Batch, memory_format: torch.memory_format = torch.contiguous_format, *, compiled: bool = False
) -> float:
    """A batch's gradients."""
    network = prepared(case).to(memory_format=memory_format)
    batch = batch._replace(image_BCHW=batch.image_BCHW.contiguous(memory_format=memory_format))
    if compiled:
        network = torch.compile(network)

    def step() -> None:
        network.zero_grad()
        add_gradients(network, batch, CONFIG, task=case.task, epoch=0, group=1, size=0)

    return best_seconds(step)


def base_seconds(case: Case, batch: Batch) -> float:
    """The encoder's pass without a graph."""
    network = prepared(case).eval()
    with torch.no_grad():
        return best_seconds(lambda: network.encoder(batch.image_BCHW))


def optimizer_seconds(case: Case, *, fused: bool) -> float:
    """A step of AdamW, which nobody can tell from none."""
    network = prepared(case)
    part = network.decoder if case.task == "segment" else network
    assert part is not None
    parameters = [parameter for parameter in part.parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer = torch.optim.AdamW(parameters, 1e-12, foreach=False, fused=fused)
    return best_seconds(optimizer.step)


def loading_seconds(manifest: Manifest) -> float:
    """An epoch's training images, once they are kept."""
    images = loader(manifest, train=True)
    return best_seconds(lambda: list(images))


def kept_mib(case: Case, batch: Batch) -> tuple[float, float]:
    """What the backward pass keeps of a batch: in the plain loop, in `fit`."""
    plain, ours = build(case).requires_grad_(), prepared(case)
    switch_to_training(plain, case)
    both = [kept_bytes(network, lambda network=network: plain_loss(network, batch, case)) for network in (plain, ours)]
    return both[0] / _MIB, both[1] / _MIB


def row(case: Case, manifest: Manifest) -> dict[str, object]:
    """One line of the table; the first epoch of each loop warms up, ours by decoding what it keeps."""
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
