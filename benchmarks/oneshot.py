"""What a supernet costs beside one training, that its slices are exact, and what recalibration is worth.

The 243 width combinations of MNSA around the default decoder, on generated leaves and a frozen encoder of random
weights: trainings of the widest decoder alone and of the supernet, then the ranking of all 243. On a GPU, at its size,
also what the ranking says of decoders that are then trained alone: Kendall's tau, and how far the best of its first
five stays behind the best known, in standard deviations of a seed.

    python benchmarks/oneshot.py [--alone N] [--epochs N]
"""

import argparse
import itertools
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _report import write_report

from venation.data.config import DataConfig
from venation.data.dataset import LeafDataset, Loader, make_loader
from venation.data.manifest import load_manifest
from venation.data.synthetic import write_leaves
from venation.models.build import build_network
from venation.models.config import DecoderConfig, EncoderConfig, NetworkConfig, WidthsConfig
from venation.models.network import MultitaskNetwork
from venation.models.slices import DecoderSlice, decode
from venation.spaces.decoder import BRANCHES
from venation.spaces.presets import recipe
from venation.trials.config import TrainConfig
from venation.trials.evaluate import evaluate
from venation.trials.recalibrate import recalibrate
from venation.trials.sandwich import fit_supernet
from venation.trials.supernet import SliceScore, Supernet
from venation.trials.train import fit
from venation.trials.variance import mean_tau

GOAL = 5.0
TOP = 5
SEEDS = 2


@dataclass(frozen=True)
class Bench:
    """The data, the recipe, and where it runs; ``train`` as it is learnt from, ``plain`` without random changes."""

    train: Loader
    plain: Loader
    val: Loader
    config: TrainConfig
    encoder: str
    device: torch.device

    def network(self, decoder: DecoderConfig, seed: int = 0) -> MultitaskNetwork:
        """A network of the config, the same encoder whatever the seed of its decoder."""
        config = NetworkConfig(encoder=EncoderConfig(name=self.encoder), decoder=decoder, num_classes=2)
        torch.manual_seed(0)
        encoder = build_network(config).encoder
        torch.manual_seed(seed)
        network = build_network(config)
        network.encoder.load_state_dict(encoder.state_dict())
        return network.to(self.device)

    def alone(self, decoder: DecoderConfig, seed: int = 0) -> float:
        """The IoU of a decoder trained by itself, its statistics recalibrated."""
        network = self.network(decoder, seed)
        config = self.config.model_copy(update={"seed": seed})
        for _ in fit(network, self.train, self.val, config, task="segment", device=self.device, monitor="iou"):
            pass
        recalibrate(network, self.plain, device=self.device, task="segment")
        return evaluate(network, self.val, device=self.device, task="segment")["iou"]


def open_bench(folder: Path, epochs: int) -> Bench:
    """Leaves, encoder and recipe at the machine's size."""
    cuda = torch.cuda.is_available()
    classes, images, side, encoder = (6, 60, 256, "resnet50") if cuda else (2, 15, 64, "resnet10t")
    write_leaves(folder, classes=classes, images=images, size=side, seed=3)
    manifest = load_manifest(folder)
    config = recipe("default", "decoder").config.train.model_copy(update={"epochs": epochs})
    # The last fifth of every class, in the order of its files.
    held = [number % images >= images * 4 // 5 for number in range(len(manifest.items))]
    parts = [
        [item for item, out in zip(manifest.items, held, strict=True) if out == wanted] for wanted in (False, True)
    ]
    data, view = DataConfig(size=side), {"batch_size": config.batch_size, "seed": 0}
    loaders = [
        make_loader(LeafDataset(items, manifest.classes, data, train=train), train=train, **view)
        for items, train in ((parts[0], True), (parts[0], False), (parts[1], False))
    ]
    return Bench(*loaders, config=config, encoder=encoder, device=torch.device("cuda" if cuda else "cpu"))


def space() -> list[DecoderConfig]:
    """All 243, the widest first, around the default decoder."""
    base = recipe("default", "decoder").config.decoder
    shares = itertools.product((1 / 4, 1 / 8, 1 / 16), repeat=len(BRANCHES))
    widths = [WidthsConfig(**dict(zip(BRANCHES, each, strict=True))) for each in shares]
    return [base.model_copy(update={"widths": each}) for each in widths]


def exactness(bench: Bench, supernet: Supernet) -> tuple[bool, bool]:
    """Whether the slice of all widths equals the decoder bit for bit, and three others decoders built narrow."""
    network = supernet.network.eval()
    image = next(iter(bench.val)).image_BCHW.to(bench.device)
    same = []
    with torch.no_grad():
        levels = network.encoder(image)
        for config in (supernet.configs[0], *supernet.configs[40:243:80]):
            part = DecoderSlice(supernet.decoder, config)
            part.module.eval()
            tensors = part.weights() | part.buffers()
            other = network if config == supernet.configs[0] else bench.network(config).eval()
            if other is not network:
                other.decoder.load_state_dict(tensors)  # type: ignore[union-attr]
            expected = decode(other.decoder, levels, image)[0]  # type: ignore[arg-type]
            same.append(torch.equal(part(tensors, levels, image)[0], expected))
    return same[0], all(same[1:])


def mean_iou(scores: Sequence[SliceScore]) -> float:
    """Over all slices."""
    return float(np.mean([score.metrics["iou"] for score in scores]))


def seconds(run: Any) -> tuple[float, Any]:
    """How long ``run`` takes, and what it returns: by the clock on a GPU, else the processor's time."""
    cuda = torch.cuda.is_available()
    clock = time.perf_counter if cuda else time.process_time
    started = clock()
    result = run()
    if cuda:
        torch.cuda.synchronize()
    return clock() - started, result


def trained_supernet(bench: Bench, configs: Sequence[DecoderConfig]) -> Supernet:
    """Built and trained, as at the start of a study."""
    supernet = Supernet(bench.network(configs[0]), configs)
    list(fit_supernet(supernet, bench.train, bench.val, bench.config, device=bench.device, monitor="iou"))
    return supernet


def measures(bench: Bench, alone: int) -> list[tuple[str, object]]:
    """Everything, by name."""
    configs = space()
    for loader in (bench.train, bench.plain, bench.val):
        list(loader)  # decodes the images, which are kept
    widest, _ = seconds(lambda: bench.alone(configs[0]))
    training, supernet = seconds(lambda: trained_supernet(bench, configs))
    ranking, scores = seconds(lambda: supernet.score(bench.plain, bench.val, device=bench.device))
    raw = supernet.score([], bench.val, device=bench.device)
    whole, narrow = exactness(bench, supernet)
    found: list[tuple[str, object]] = [
        ("widest training, s", widest),
        ("supernet training, widest trainings", training / widest),
        (f"ranking all {len(configs)}, widest trainings", ranking / widest),
        (f"together (goal: at most {GOAL:g})", (training + ranking) / widest),
        ("slice of all widths equals the decoder bit for bit", whole),
        ("slices equal decoders built narrow bit for bit", narrow),
        ("mean IoU of the slices, recalibrated", mean_iou(scores)),
        ("mean IoU of the slices, statistics of the widest", mean_iou(raw)),
    ]
    return found + (judged(bench, scores, alone) if alone else [])


def judged(bench: Bench, scores: Sequence[SliceScore], number: int) -> list[tuple[str, object]]:
    """The ranking beside decoders trained alone: its first five, and ``number`` random ones, each with two seeds."""
    ranked = sorted(scores, key=lambda score: (-score.metrics["iou"], score.parameters))
    drawn = np.random.default_rng(0).choice(len(ranked), size=number, replace=False)
    chosen = list(dict.fromkeys([*range(TOP), *(int(place) for place in drawn)]))
    values_PS = np.array([[bench.alone(ranked[place].config, seed) for seed in range(SEEDS)] for place in chosen])
    noise = float(values_PS.std(axis=1, ddof=1).mean())
    expected_P, reached_P = np.array([ranked[place].metrics["iou"] for place in chosen]), values_PS.mean(axis=1)
    tau, low, high = mean_tau(np.stack([expected_P, reached_P], axis=1))
    random_P = np.array([reached_P[chosen.index(int(place))] for place in drawn])
    best = reached_P.max()
    return [
        ("tau of the ranking (interval)", f"{tau:.2f} ({low:.2f} to {high:.2f})"),
        ("tau between two seeds", mean_tau(values_PS)[0]),
        ("standard deviation of a seed, IoU", noise),
        ("regret of the first five, in seeds", (best - reached_P[:TOP].max()) / noise),
        (f"regret of {number} random ones, in seeds", (best - random_P.max()) / noise),
    ]


def main() -> None:
    """Read the options, measure, and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    cuda = torch.cuda.is_available()
    parser.add_argument("--alone", type=int, default=12 if cuda else 0, help="random decoders to train alone as well")
    parser.add_argument("--epochs", type=int, default=20, help="of every training")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="venation-") as folder:
        found = measures(open_bench(Path(folder) / "leaves", options.epochs), options.alone)
    write_report("oneshot", [{"measure": name, "value": value} for name, value in found])


if __name__ == "__main__":
    main()
