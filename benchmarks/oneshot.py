"""Measure the cost of a supernet, the exactness of its subnets, and the value of recalibration.

The space has 243 width combinations of MNSA around the default decoder, on a frozen encoder of
random weights. The benchmark trains the widest decoder alone and the supernet, then ranks all 243.
With ``--alone`` (the default on a GPU) it also measures the value of the ranking, by training
decoders of the space separately: whether the space has a signal, and how well the ranking agrees
with it. It also measures the regret of the first five, of as many random ones as the supernet and
the five cost, and of the cheapest, against the best known decoder, in standard deviations of a
seed.

The widths of ``steep`` are further apart than the paper's; in ``off`` a branch may be absent.
``--set hrf_vessels`` takes the retinas in VENATION_REAL_DATA (by default ``../shared/data``)
instead of generated leaves, split by eye.

    python benchmarks/oneshot.py [--space paper|steep|off] [--set leaves|hrf_vessels]
                                 [--alone N] [--epochs N]
"""

import argparse
import itertools
import math
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _report import write_report

from venation.data.data_config import DataConfig
from venation.data.dataset import LeafDataset
from venation.data.loader import Loader, make_loader
from venation.data.manifest import Manifest, load_manifest
from venation.data.splits import assign_splits
from venation.data.synthetic import write_leaves
from venation.insight.variance import analyse, mean_tau
from venation.models.build import build_network
from venation.models.network import MultitaskNetwork
from venation.models.network_config import DecoderConfig, EncoderConfig, NetworkConfig, WidthsConfig
from venation.models.run_decoder import run_decoder
from venation.models.subnets import DecoderSubnet
from venation.spaces.decoder import BRANCHES
from venation.spaces.presets import recipe
from venation.trials.evaluate import evaluate
from venation.trials.recalibrate import recalibrate
from venation.trials.supernet import SubnetScore, Supernet, fit_supernet
from venation.trials.train import fit
from venation.trials.trial_config import TrainConfig

GOAL = 5.0
TOP = 5
SEEDS = 3
SPACES = {"paper": (1 / 4, 1 / 8, 1 / 16), "steep": (1 / 4, 1 / 32, 1 / 256), "off": (1 / 4, 1 / 16, 0.0)}
REAL = Path(os.environ.get("VENATION_REAL_DATA", "../shared/data"))
SIDES = {"leaves": 64, "hrf_vessels": 80}  # pixels, on a CPU


@dataclass(frozen=True)
class Setup:
    """Data, recipe and device; ``train`` is augmented, ``plain`` has the same images unchanged."""

    train: Loader
    plain: Loader
    val: Loader
    config: TrainConfig
    encoder: str
    num_classes: int
    device: torch.device

    def network(self, decoder: DecoderConfig, seed: int = 0) -> MultitaskNetwork:
        """Build a network whose encoder does not depend on the seed of its decoder."""
        config = NetworkConfig(encoder=EncoderConfig(name=self.encoder), decoder=decoder, num_classes=self.num_classes)
        torch.manual_seed(0)
        encoder = build_network(config).encoder
        torch.manual_seed(seed)
        network = build_network(config)
        network.encoder.load_state_dict(encoder.state_dict())
        return network.to(self.device)

    def alone(self, decoder: DecoderConfig, seed: int = 0) -> float:
        """Return the IoU of a decoder that is trained separately, after recalibration."""
        network = self.network(decoder, seed)
        config = self.config.model_copy(update={"seed": seed})
        for _ in fit(network, self.train, self.val, config, task="segment", device=self.device, monitor="iou"):
            pass
        recalibrate(network, self.plain, device=self.device, task="segment")
        return evaluate(network, self.val, device=self.device, task="segment")["iou"]


def leaves(folder: Path) -> Manifest:
    """Generate leaves; the last fifth of every class is for validation."""
    classes, images, side = (6, 60, 256) if torch.cuda.is_available() else (2, 15, 64)
    write_leaves(folder, classes=classes, images=images, size=side, seed=3)
    manifest = load_manifest(folder)
    splits = ("val" if number % images >= images * 4 // 5 else "train" for number in range(len(manifest.samples)))
    samples = tuple(replace(sample, split=split) for sample, split in zip(manifest.samples, splits, strict=True))
    return replace(manifest, samples=samples)


def retinas() -> Manifest:
    """Load the tiles, split by eye."""
    path = REAL / "hrf_vessels" / "manifest.csv"
    if not path.exists():
        sys.exit(f"{path} does not exist; set VENATION_REAL_DATA")
    return assign_splits(load_manifest(path), seed=0)


def open_setup(folder: Path, name: str, epochs: int) -> Setup:
    """Load one set with the encoder and recipe for this machine."""
    cuda = torch.cuda.is_available()
    side, encoder = (256, "resnet50") if cuda else (SIDES[name], "resnet10t")
    manifest = leaves(folder) if name == "leaves" else retinas()
    config = recipe("default", "decoder").config.train.model_copy(update={"epochs": epochs})
    parts = [manifest.split(part) for part in ("train", "val")]
    data, view = DataConfig(size=side), {"batch_size": config.batch_size, "seed": 0}
    loaders = [
        make_loader(LeafDataset(samples, manifest.classes, data, train=train), train=train, **view)
        for samples, train in ((parts[0], True), (parts[0], False), (parts[1], False))
    ]
    device = torch.device("cuda" if cuda else "cpu")
    return Setup(*loaders, config=config, encoder=encoder, num_classes=len(manifest.classes), device=device)


def space(name: str) -> list[DecoderConfig]:
    """Return all 243 configs around the default decoder, the widest first."""
    base = recipe("default", "decoder").config.decoder
    shares = itertools.product(SPACES[name], repeat=len(BRANCHES))
    widths = [WidthsConfig(**dict(zip(BRANCHES, each, strict=True))) for each in shares]
    return [base.model_copy(update={"widths": each}) for each in widths]


def exactness(setup: Setup, supernet: Supernet) -> tuple[bool, bool]:
    """Compare the full-width subnet with the decoder, and three others with narrow decoders.

    Returns whether each comparison is equal bit for bit.
    """
    network = supernet.network.eval()
    image = next(iter(setup.val)).image_BCHW.to(setup.device)
    same = []
    with torch.no_grad():
        levels = network.encoder(image)
        for config in (supernet.configs[0], *supernet.configs[40:243:80]):
            part = DecoderSubnet(supernet.decoder, config)
            part.module.eval()
            tensors = part.weights() | part.buffers()
            other = network if config == supernet.configs[0] else setup.network(config).eval()
            if other is not network:
                other.decoder.load_state_dict(tensors)  # type: ignore[union-attr]
            expected = run_decoder(other.decoder, levels, image)[0]  # type: ignore[arg-type]
            same.append(torch.equal(part(tensors, levels, image)[0], expected))
    return same[0], all(same[1:])


def mean_iou(scores: Sequence[SubnetScore]) -> float:
    """Return the mean over all subnets."""
    return float(np.mean([score.metrics["iou"] for score in scores]))


def seconds(run: Any) -> tuple[float, Any]:
    """Return the time and the result of ``run``: wall-clock time on a GPU, else CPU time."""
    cuda = torch.cuda.is_available()
    clock = time.perf_counter if cuda else time.process_time
    started = clock()
    result = run()
    if cuda:
        torch.cuda.synchronize()
    return clock() - started, result


def trained_supernet(setup: Setup, configs: Sequence[DecoderConfig]) -> Supernet:
    """Build and train a supernet, as a study does."""
    supernet = Supernet(setup.network(configs[0]), configs)
    list(fit_supernet(supernet, setup.train, setup.val, setup.config, device=setup.device, monitor="iou"))
    return supernet


def measures(setup: Setup, configs: Sequence[DecoderConfig], alone: int) -> list[tuple[str, object]]:
    """Return all measures by name."""
    for loader in (setup.train, setup.plain, setup.val):
        list(loader)  # fills the cache of decoded images
    widest, _ = seconds(lambda: setup.alone(configs[0]))
    training, supernet = seconds(lambda: trained_supernet(setup, configs))
    ranking, scores = seconds(lambda: supernet.score(setup.plain, setup.val, device=setup.device))
    raw = supernet.score([], setup.val, device=setup.device)
    whole, narrow = exactness(setup, supernet)
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
    return found + (evaluate_ranking(setup, scores, alone, cost=(training + ranking) / widest) if alone else [])


def evaluate_ranking(
    setup: Setup, scores: Sequence[SubnetScore], number: int, *, cost: float
) -> list[tuple[str, object]]:
    """Compare the ranking with decoders trained separately.

    These are its first five, ``number`` random ones and the cheapest.
    """
    ranked = sorted(scores, key=lambda score: (-score.metrics["iou"], score.parameters))
    sampled = [int(place) for place in np.random.default_rng(0).choice(len(ranked), size=number, replace=False)]
    cheapest = min(range(len(ranked)), key=lambda place: ranked[place].parameters)
    chosen = list(dict.fromkeys([*range(TOP), *sampled, cheapest]))
    values = {place: [setup.alone(ranked[place].config, seed) for seed in range(SEEDS)] for place in chosen}
    reached = {place: float(np.mean(values[place])) for place in chosen}
    seen = analyse(np.array([values[place] for place in sampled]))
    noise = seen.within
    agreement_PS = np.array([(ranked[place].metrics["iou"], reached[place]) for place in sampled])
    tau, low, high = mean_tau(agreement_PS)
    best, as_many = max(reached.values()), round(cost) + TOP
    found = [
        ("the first five", max(reached[place] for place in range(TOP))),
        (f"{as_many} random ones, which cost as much", expected_best([reached[place] for place in sampled], as_many)),
        ("the cheapest", reached[cheapest]),
    ]
    return [
        ("standard deviation of a seed, IoU", noise),
        (f"standard deviation between {number} random decoders, the noise taken out", seen.between),
        ("tau between two seeds", f"{seen.tau:.2f} ({seen.tau_low:.2f} to {seen.tau_high:.2f})"),
        ("verdict of the signal check", f"{seen.outcome}, p = {seen.p:.2g}, reliability {seen.reliability:.2f}"),
        ("tau of the ranking (interval)", f"{tau:.2f} ({low:.2f} to {high:.2f})"),
        *((f"regret of {name}, in seeds", (best - value) / noise) for name, value in found),
    ]


def expected_best(values: Sequence[float], number: int) -> float:
    """Return the expected best of ``number`` values drawn without replacement.

    If there are fewer values, it is the best of all.
    """
    ordered, number = sorted(values), min(number, len(values))
    ways = [math.comb(place, number - 1) for place in range(len(ordered))]
    return sum(way * value for way, value in zip(ways, ordered, strict=True)) / sum(ways)


def main() -> None:
    """Read the options, measure, and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    cuda = torch.cuda.is_available()
    parser.add_argument("--alone", type=int, default=12 if cuda else 0, help="random decoders to also train separately")
    parser.add_argument("--space", choices=SPACES, default="paper", help="widths of the space")
    parser.add_argument("--set", choices=SIDES, default="leaves", help="data set", dest="data")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of every training")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="venation-") as folder:
        setup = open_setup(Path(folder) / "leaves", options.data, options.epochs)
        found = measures(setup, space(options.space), options.alone)
    chosen = ((options.space, "paper"), (options.data, "leaves"))
    name = "-".join(["oneshot", *(value for value, usual in chosen if value != usual)])
    write_report(name, [{"measure": name, "value": value} for name, value in found])


if __name__ == "__main__":
    main()
