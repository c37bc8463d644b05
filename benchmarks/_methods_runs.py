"""Fits of the methods table, each stored when it ends, so that an interrupted run continues."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from venation.data.dataset import LeafDataset
from venation.data.loader import Loader, make_loader
from venation.data.manifest import Manifest
from venation.data.splits import assign_splits
from venation.models.build import build_network
from venation.models.cost import cost
from venation.models.network import MultitaskNetwork
from venation.spaces.fields import set_fields
from venation.trials.checkpoint import base_weights, load_weights, read_weights, write_weights
from venation.trials.errors import TrialFailed
from venation.trials.evaluate import collect_outcomes
from venation.trials.fit_state import EpochResult
from venation.trials.kinds import Task
from venation.trials.train import fit
from venation.trials.trial_config import TrialConfig

MONITOR: dict[Task, str] = {"classify": "accuracy", "segment": "iou"}
# The shares of a study's default split.
VAL, TEST = 0.2, 0.2
# Shares of the learning rate that are tried one after the other.
RATES = (1.0, 0.1, 0.01)


@dataclass
class Runs:
    """The fits on one data set at one seed.

    The seed decides the split and the training. ``images`` has no splits yet. ``file`` has the
    outcomes, one JSON object a line; ``folder`` the weights of classifiers and other large files,
    which are made again where they are missing. With ``only_stored`` nothing is run.
    """

    folder: Path
    file: Path
    only_stored: bool
    name: str
    images: Manifest
    device: torch.device
    seed: int

    @cached_property
    def manifest(self) -> Manifest:
        """The images in the splits that a study with this seed makes."""
        return assign_splits(self.images, seed=self.seed, val=VAL, test=TEST)

    def result(self, config: TrialConfig, *, task: Task, base: TrialConfig | None = None) -> dict[str, Any] | None:
        """Return the outcome of one fit, from the file or by running it; None if it may not run.

        ``val`` is the best value on the validation split, ``test`` the metrics on the sealed test
        split with the final weights, ``seconds`` those of all epochs, ``rate`` the share of its
        learning rate with which the training did not diverge. ``base`` is the classifier that a
        decoder stands on.
        """
        config = self._seeded(config)
        known = self.known().get(self.key(config, task, base))
        return known if known or self.only_stored else self._run(config, task, base)

    def _run(self, config: TrialConfig, task: Task, base: TrialConfig | None) -> dict[str, Any]:
        network, epochs, rate = self._fit(config, base, task)
        if task == "classify":
            write_weights(base_weights(network), self.weights_path(config))
        outcome = {
            "key": self.key(config, task, base),
            "set": self.name,
            "seed": self.seed,
            "val": max(epoch.metrics[MONITOR[task]] for epoch in epochs),
            "test": self._test(network, config, task),
            "parameters": cost(config.network(len(self.manifest.classes))).parameters,
            "seconds": sum(epoch.seconds for epoch in epochs),
            "rate": rate,
        }
        return self.store(outcome)

    def _fit(
        self, config: TrialConfig, base: TrialConfig | None, task: Task
    ) -> tuple[MultitaskNetwork, list[EpochResult], float]:
        """Train at the largest of ``RATES`` that does not diverge, as the error tells a user to."""
        train, val = self._loader(config, "train", task), self._loader(config, "val", task)
        for rate in RATES:
            network = self._network(config, base)
            train_config = config.train.model_copy(update={"lr": rate * config.train.lr})
            options: Any = {"task": task, "device": self.device, "monitor": MONITOR[task]}
            try:
                return network, list(fit(network, train, val, train_config, **options)), rate
            except TrialFailed as error:
                diverged = error
        raise diverged

    def store(self, outcome: dict[str, Any]) -> dict[str, Any]:
        """Append an outcome to the file and return it."""
        with self.file.open("a") as file:
            file.write(json.dumps(outcome) + "\n")
        return outcome

    def key(self, config: TrialConfig, task: Task, base: TrialConfig | None) -> str:
        """Return a hash of everything except code that determines a fit."""
        stem = base and self.weights_path(base).stem
        parts = (self.name, task, config.model_dump_json(), stem, str(self.device.type))
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def weights_path(self, config: TrialConfig) -> Path:
        """Return the path of a classifier's weights, which decoders use as base."""
        return self.folder / f"{self.key(self._seeded(config), 'classify', None)}.safetensors"

    def known(self) -> dict[str, dict[str, Any]]:
        """Return the outcomes of the file by key."""
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return {outcome["key"]: outcome for outcome in map(json.loads, lines)}

    def _seeded(self, config: TrialConfig) -> TrialConfig:
        return set_fields(config, {"train.seed": self.seed})

    def _network(self, config: TrialConfig, base: TrialConfig | None) -> MultitaskNetwork:
        start = self._base_weights(base) if base else None
        torch.manual_seed(config.train.seed)
        network = build_network(config.network(len(self.manifest.classes)))
        if start is not None:
            load_weights(network, network.state_dict() | read_weights(start), source=str(start))
        return network

    def _base_weights(self, base: TrialConfig) -> Path:
        """Return the file of a classifier's weights, after training it if there is none."""
        path = self.weights_path(base)
        if not path.exists():
            network, *_ = self._fit(self._seeded(base), None, "classify")
            write_weights(base_weights(network), path)
        return path

    def _loader(self, config: TrialConfig, part: str, task: Task) -> Loader:
        view = config.data.model_copy(update={"blank": 0.0}) if task == "segment" else config.data
        dataset = LeafDataset(self.manifest.split(part), self.manifest.classes, view, train=part == "train")
        return make_loader(dataset, batch_size=config.train.batch_size, train=part == "train", seed=config.train.seed)

    def _test(self, network: MultitaskNetwork, config: TrialConfig, task: Task) -> dict[str, float]:
        segment = task == "segment"
        metrics = collect_outcomes(
            network, self._loader(config, "test", task), device=self.device, segment=segment
        ).metrics()
        if segment:
            return {name: metrics[name] for name in ("iou", "dice")}
        samples, scores = self.manifest.split("test"), {"accuracy": metrics["accuracy"]}
        if all(sample.mask for sample in samples):
            dataset = LeafDataset(samples, self.manifest.classes, config.data, train=False, blank=True)
            loader = make_loader(dataset, batch_size=config.train.batch_size, train=False, seed=0)
            blanked = collect_outcomes(network, loader, device=self.device, segment=False).metrics()
            scores["accuracy_blanked"] = blanked["accuracy"]
        return scores
