"""Fits of the methods table, stored in a work file so that an interrupted run continues."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from venation.data.dataset import LeafDataset, Loader, make_loader
from venation.data.manifest import Manifest
from venation.models.build import build_network
from venation.models.cost import cost
from venation.models.network import MultitaskNetwork
from venation.spaces.fields import set_fields
from venation.trials.checkpoint import base_weights, load_weights, read_weights, write_weights
from venation.trials.evaluate import collect_outcomes
from venation.trials.kinds import Task
from venation.trials.train import fit
from venation.trials.trial_config import TrialConfig

MONITOR: dict[Task, str] = {"classify": "accuracy", "segment": "iou"}


@dataclass(frozen=True)
class Runs:
    """The fits on one data set, and the folder that stores them."""

    folder: Path
    name: str
    manifest: Manifest
    device: torch.device

    def result(self, config: TrialConfig, *, task: Task, seed: int, base: Path | None = None) -> dict[str, Any]:
        """Return the outcome of one fit, from the work file or by running it.

        ``val`` is the best value on the validation split, ``test`` the metrics on the sealed test
        split with the final weights, ``seconds`` the shortest epoch. The weights of a classifier
        are stored in ``weights_path``.
        """
        config = set_fields(config, {"train.seed": seed})
        key = self.key(config, task, base)
        known = self._known().get(key)
        weights = self.weights_path(config, task=task, seed=seed)
        if known is not None and (task == "segment" or weights.exists()):
            return known
        network = self._network(config, base)
        seconds, best = [], 0.0
        train, val = self._loader(config, "train", task), self._loader(config, "val", task)
        for epoch in fit(network, train, val, config.train, task=task, device=self.device, monitor=MONITOR[task]):
            seconds.append(epoch.seconds)
            best = max(best, epoch.metrics[MONITOR[task]])
        if task == "classify":
            write_weights(base_weights(network), weights)
        test = self._test(network, config, task)
        parameters = cost(config.network(len(self.manifest.classes))).parameters
        outcome = {"key": key, "val": best, "test": test, "parameters": parameters, "seconds": min(seconds)}
        with (self.folder / "work.jsonl").open("a") as file:
            file.write(json.dumps(outcome) + "\n")
        return outcome

    def key(self, config: TrialConfig, task: Task, base: Path | None) -> str:
        """Return a hash of everything except code that determines a fit."""
        parts = (self.name, task, config.model_dump_json(), base and base.stem, str(self.device.type))
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def weights_path(self, config: TrialConfig, *, task: Task, seed: int) -> Path:
        """Return the path of a classifier's weights, which decoders use as base."""
        key = self.key(set_fields(config, {"train.seed": seed}), task, None)
        return self.folder / f"{key}.safetensors"

    def _known(self) -> dict[str, dict[str, Any]]:
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
        loader = self._loader(config, "test", task)
        metrics = collect_outcomes(network, loader, device=self.device, segment=task == "segment").metrics()
        wanted = ("accuracy", "macro_f1") if task == "classify" else ("iou", "dice")
        return {name: metrics[name] for name in wanted}
