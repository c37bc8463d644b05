"""Fits of the methods table, stored in a work file so that an interrupted run continues."""

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
    """The fits on one data set at one seed, and the folder that stores them.

    The seed decides the split and the training. ``images`` has no splits yet.
    """

    folder: Path
    name: str
    images: Manifest
    device: torch.device
    seed: int

    @cached_property
    def manifest(self) -> Manifest:
        """The images in the splits that a study with this seed makes."""
        return assign_splits(self.images, seed=self.seed, val=VAL, test=TEST)

    def result(self, config: TrialConfig, *, task: Task, base: Path | None = None) -> dict[str, Any]:
        """Return the outcome of one fit, from the work file or by running it.

        ``val`` is the best value on the validation split, ``test`` the metrics on the sealed test
        split with the final weights, ``seconds`` those of all epochs, ``rate`` the share of its
        learning rate with which the training did not diverge. The weights of a classifier are
        stored in ``weights_path``.
        """
        config = set_fields(config, {"train.seed": self.seed})
        key = self.key(config, task, base)
        known = self.known().get(key)
        weights = self.weights_path(config, task=task)
        if known is not None and (task == "segment" or weights.exists()):
            return known
        network, epochs, rate = self._fit(config, base, task)
        best = max(epoch.metrics[MONITOR[task]] for epoch in epochs)
        seconds = sum(epoch.seconds for epoch in epochs)
        if task == "classify":
            write_weights(base_weights(network), weights)
        test = self._test(network, config, task)
        parameters = cost(config.network(len(self.manifest.classes))).parameters
        outcome = {"key": key, "val": best, "test": test, "parameters": parameters, "seconds": seconds, "rate": rate}
        return self.store(outcome)

    def _fit(
        self, config: TrialConfig, base: Path | None, task: Task
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
        """Append an outcome to the work file and return it."""
        with (self.folder / "work.jsonl").open("a") as file:
            file.write(json.dumps(outcome) + "\n")
        return outcome

    def key(self, config: TrialConfig, task: Task, base: Path | None) -> str:
        """Return a hash of everything except code that determines a fit."""
        parts = (self.name, task, config.model_dump_json(), base and base.stem, str(self.device.type))
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def weights_path(self, config: TrialConfig, *, task: Task) -> Path:
        """Return the path of a classifier's weights, which decoders use as base."""
        key = self.key(set_fields(config, {"train.seed": self.seed}), task, None)
        return self.folder / f"{key}.safetensors"

    def known(self) -> dict[str, dict[str, Any]]:
        """Return the outcomes of the work file by key."""
        path = self.folder / "work.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return {outcome["key"]: outcome for outcome in map(json.loads, lines)}

    def _network(self, config: TrialConfig, base: Path | None) -> MultitaskNetwork:
        torch.manual_seed(config.train.seed)
        network = build_network(config.network(len(self.manifest.classes)))
        if base is not None:
            load_weights(network, network.state_dict() | read_weights(base), source=str(base))
        return network

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
