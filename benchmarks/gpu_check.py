"""Accept a GPU in one command: is every result right there, and every goal of speed reached?

`make gpu-check` runs it in under ten minutes on a large GPU, prints a table, writes
`results/gpu-check-cuda.json`, and ends with exit code 1 if a goal is missed. Without a GPU it runs
a reduced form of every check, in which no goal counts: this shows that the checks work.

    python benchmarks/gpu_check.py [--only NAME,NAME] [--out FOLDER]
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import deform
import precision
import step
import torch
import trial
from _report import RESULTS, write_report
from _step_cases import CASES, CUDA, DEVICE
from _timm_loop import our_rate, timm_rate

from venation.data.data_config import DataConfig
from venation.data.dataset import LeafDataset
from venation.data.loader import Loader, make_loader
from venation.data.manifest import Manifest, load_manifest
from venation.data.synthetic import write_leaves
from venation.models.build import build_network
from venation.models.network_config import EncoderConfig
from venation.trials.train import fit
from venation.trials.trial_config import TrainConfig, TrialConfig
from venation.workers.ranks import fit_on_ranks

CLASSES, IMAGES = 3, 12
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Measured:
    """One line: a figure, and the least or the most that it may be."""

    check: str
    value: float
    least: float | None = None
    most: float | None = None

    @property
    def reached(self) -> bool:
        """Whether the figure is within its bounds."""
        return self.value >= (self.least or 0.0) and (self.most is None or self.value <= self.most)

    def row(self) -> dict[str, Any]:
        """Return the line of the table; no goal counts on a CPU."""
        goal = f">= {self.least:g}" if self.least is not None else f"<= {self.most:g}" if self.most is not None else ""
        verdict = ("yes" if self.reached else "NO") if CUDA and goal else "not judged"
        return {"check": self.check, "measured": self.value, "goal": goal, "reached": verdict}


def agreement(manifest: Manifest) -> Iterator[Measured]:
    """Compare float32 results of the device with those of the CPU."""
    given, kernel = deform.tensors((2, 8, 8, 16, 3)), 3
    ours = deform.step(deform.deform_conv2d, given, kernel)
    on_cpu = tuple(tensor.detach().to(CPU).requires_grad_() for tensor in given)
    exact = deform.step(deform.classical, on_cpu, kernel)
    worst = max(float((a.to(CPU) - b).norm() / b.norm()) for a, b in zip(ours, exact, strict=True))
    yield Measured("deformable convolution: difference to torchvision on the CPU", worst, most=1e-3)
    losses = [losses_of(manifest, device) for device in (CPU, DEVICE)]
    yield Measured("training in float32: difference of the losses to the CPU", difference(*losses), most=1e-2)


def half_precision(manifest: Manifest) -> Iterator[Measured]:
    """Train in bf16 and in float32."""
    if not CUDA:
        precision.SIZE, precision.EPOCHS = 32, {"classify": 2, "segment": 2}
    (single_s, single), (half_s, half) = (precision.train(CASES[0], manifest, kind, 0) for kind in ("fp32", "bf16"))  # type: ignore[arg-type]
    yield Measured("bf16: times as fast as float32", single_s / half_s, least=1.0)
    yield Measured("bf16: log-loss beyond that of float32", half - single, most=0.1)


def compiled(manifest: Manifest) -> Iterator[Measured]:
    """Time the gradients with torch.compile; the answer decides whether it becomes an option."""
    batch = step.to_gpu(next(iter(step.loader(manifest, train=True))))
    for case in CASES if CUDA else CASES[:1]:
        plain = step.step_seconds(case, batch)
        # Compiling takes minutes on a CPU.
        ratio = plain / step.step_seconds(case, batch, compiled=CUDA)
        yield Measured(f"torch.compile: times as fast, {case.name}", ratio)


def deformable(_manifest: Manifest) -> Iterator[Measured]:
    """Compare deformable convolution with torchvision's operator."""
    for shape in deform.SHAPES if CUDA else ((1, 8, 8, 8, 3),):
        line = deform.row(shape)
        yield Measured(f"deformable convolution {line['shape']}: speed", cast(float, line["ratio"]), least=1.5)
        if CUDA:
            share = cast(float, line["venation_mib"]) / cast(float, line["torchvision_mib"])
            yield Measured(f"deformable convolution {line['shape']}: memory", share, most=1 / 3)


def mnsa_step(_manifest: Manifest) -> Iterator[Measured]:
    """Compare a training step of MNSA's decoder with the published way."""
    if not CUDA:
        trial.IMAGES, trial.SIDE, trial.STEPS = 2, 64, 1
        trial.SETTINGS = {"encoder.name": "test_resnet", "encoder.frozen_children": 0}
    lines = {line["step"]: line for line in trial.rows()}
    ours, published = lines["venation"], lines["classical"]
    yield Measured("MNSA step: speed", cast(float, published["seconds"]) / cast(float, ours["seconds"]), least=3.0)
    if CUDA:
        yield Measured(
            "MNSA step: memory", cast(float, ours["peak_gib"]) / cast(float, published["peak_gib"]), most=0.5
        )


def images_per_second(manifest: Manifest) -> Iterator[Measured]:
    """Compare `fit` with a plain timm loop."""
    size, name = (448, "resnet50") if CUDA else (32, "test_resnet")
    config = TrainConfig(epochs=4 if CUDA else 2, batch_size=16 if CUDA else 6)
    train, val = loaders(manifest, size, config, repeats=8 if CUDA else 1)
    plain = timm_rate(name, train, config, DEVICE, CLASSES)
    ours = our_rate(name, (train, val), config, DEVICE, CLASSES)
    yield Measured("images per second of a plain timm loop", plain)
    yield Measured("images per second of fit, relative to it", ours / plain, least=0.95)


def together(manifest: Manifest) -> Iterator[Measured]:
    """Train one network with a process on each GPU, or with two processes on the CPU."""
    gpus = torch.cuda.device_count()
    device, processes = (DEVICE, gpus) if gpus > 1 else (CPU, 2)
    alone, shared = (losses_of(manifest, device, processes=number) for number in (1, processes))
    yield Measured(
        f"{processes} processes, {device.type}: difference of the losses", difference(alone, shared), most=1e-3
    )


CHECKS: dict[str, Callable[[Manifest], Iterator[Measured]]] = {
    "agreement": agreement,
    "bf16": half_precision,
    "compile": compiled,
    "deform": deformable,
    "mnsa": mnsa_step,
    "timm": images_per_second,
    "ddp": together,
}


def loaders(manifest: Manifest, size: int, config: TrainConfig, *, repeats: int = 1) -> tuple[Loader, Loader]:
    """Load two thirds of the images for training, each ``repeats`` times, and a few to validate."""
    view = DataConfig(size=size)
    samples = {True: manifest.samples[: 2 * len(manifest.samples) // 3] * repeats, False: manifest.samples[-3:]}
    made = [
        make_loader(
            LeafDataset(chosen, manifest.classes, view, train=train), batch_size=config.batch_size, train=train, seed=0
        )
        for train, chosen in samples.items()
    ]
    return made[0], made[1]


def losses_of(manifest: Manifest, device: torch.device, *, processes: int = 1) -> list[float]:
    """Return the training losses of two epochs of a network without BatchNorm, in float32."""
    encoder = EncoderConfig(name="convnext_tiny" if CUDA else "test_convnext", weights="none")
    train = TrainConfig(epochs=2, batch_size=6, lr=1e-3, precision="fp32")
    config = TrialConfig(encoder=encoder, data=DataConfig(size=64 if CUDA else 32), train=train)
    torch.manual_seed(0)
    network = build_network(config.network(CLASSES))
    parts = loaders(manifest, config.data.size_HW[0], train)
    options: dict[str, Any] = {"task": "classify", "device": device, "monitor": "logloss"}
    with tempfile.TemporaryDirectory() as folder:
        options["checkpoint"] = Path(folder) / "checkpoint.safetensors"
        if processes == 1:
            results = list(fit(network, *parts, train, **options))
        else:
            results = list(fit_on_ranks(network, *parts, config, processes=processes, **options))
    return [result.losses["total"] for result in results]


def difference(one: list[float], other: list[float]) -> float:
    """Return the largest relative difference."""
    return max(abs(a - b) / abs(a) for a, b in zip(one, other, strict=True))


def main(arguments: list[str]) -> int:
    """Run the checks; return the exit code."""
    parser = argparse.ArgumentParser(
        description="Accept a GPU; without one, a reduced form shows that the checks work."
    )
    parser.add_argument("--only", default=",".join(CHECKS), help=f"checks, with commas: {', '.join(CHECKS)}")
    parser.add_argument("--out", type=Path, default=RESULTS if CUDA else Path("build"), help="folder of the JSON file")
    given = parser.parse_args(arguments)
    names = given.only.split(",")
    if unknown := [name for name in names if name not in CHECKS]:
        parser.error(f"no check {unknown[0]}; choose from {', '.join(CHECKS)}")
    with tempfile.TemporaryDirectory() as folder:
        write_leaves(Path(folder), classes=CLASSES, images=IMAGES, size=480 if CUDA else 32, seed=0)
        manifest = load_manifest(Path(folder))
        lines = [line for name in names for line in CHECKS[name](manifest)]
    write_report("gpu-check", [line.row() for line in lines], folder=given.out)
    missed = [line.check for line in lines if CUDA and not line.reached]
    print(
        "goals missed: " + "; ".join(missed) if missed else "every goal is reached" if CUDA else "no GPU: reduced form"
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
