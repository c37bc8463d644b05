"""Fits of one network for labels and masks, and of the two steps, stored in a work file."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from _methods_recipes import Place, Scale, classifiers, decoders
from _methods_runs import Runs

from venation.data.dataset import LeafDataset
from venation.data.loader import Loader, make_loader
from venation.models.build import build_network
from venation.models.cost import cost
from venation.models.network import MultitaskNetwork
from venation.spaces.fields import set_fields
from venation.spaces.presets import recipe
from venation.trials.auto_fields import resolve_auto
from venation.trials.checkpoint import load_weights, read_weights, write_weights
from venation.trials.evaluate import collect_outcomes
from venation.trials.image_masks import ImageMasks
from venation.trials.kinds import MEAN_SCORE, Task
from venation.trials.train import fit
from venation.trials.trial_config import TrialConfig

# The first one is compared with the others.
METHODS = ("two steps", "joint", "joint short")
_MONITOR: dict[Task, str] = {"classify": "accuracy", "segment": "iou", "multitask": MEAN_SCORE}


@dataclass(frozen=True)
class Plan:
    """The configs of both ways at one scale."""

    scale: Scale
    place: Place

    @cached_property
    def label(self) -> TrialConfig:
        """The config of the first step."""
        return classifiers(self.scale, self.place, images=1)[0].config

    @cached_property
    def mask(self) -> TrialConfig:
        """The config of the second step, on the first one's encoder and gate."""
        return decoders(self.scale, self.place)[0].config

    def joint(self, method: str) -> TrialConfig:
        """Return the config of one network."""
        kept = {"encoder": self.label.encoder, "data": self.label.data.model_copy(update={"blank": 0.0})}
        found = recipe("default", "multitask").config.model_copy(update=kept)
        return resolve_auto(set_fields(found, {"train.epochs": self.epochs(method)}))

    def epochs(self, method: str) -> int:
        """Return the epochs of all networks of a method."""
        alone = self.mask.train.epochs
        return alone if method == "joint short" else alone + self.label.train.epochs


@dataclass
class JointRuns:
    """The fits on one data set at one seed."""

    runs: Runs
    plan: Plan

    @property
    def name(self) -> str:
        """The name of the data set."""
        return self.runs.name

    def outcome(self, method: str) -> dict[str, Any]:
        """Return the outcome of a method on the test split, from the work file or by running it.

        ``right`` and ``image_iou`` have one value for each image, ``accuracy`` and ``iou`` are
        those of the split; ``seconds`` are those of all epochs.
        """
        steps: list[tuple[Task, TrialConfig]] = [("multitask", self.plan.joint(method))]
        if method == "two steps":
            steps = [("classify", self.plan.label), ("segment", self.plan.mask)]
        steps = [(task, set_fields(config, {"train.seed": self.runs.seed})) for task, config in steps]
        keys = [self._key(steps[: number + 1]) for number in range(len(steps))]
        known = self.runs.known()
        if keys[-1] in known:
            return known[keys[-1]]
        base, seconds = None, 0.0
        for (task, config), key in zip(steps, keys, strict=True):
            network = self._network(config, base)
            base = self.runs.folder / f"{key}.safetensors"
            if key in known and base.exists():
                seconds += known[key]["seconds"]
                continue
            seconds += sum(epoch.seconds for epoch in self._fit(network, config, task))
            if task == "classify":
                write_weights(network.state_dict(), base)
                self.runs.store({"key": key, "seconds": seconds})
        return self.runs.store({"key": keys[-1], "seconds": seconds, **self._test(network, steps[-1][1])})

    def _key(self, steps: list[tuple[Task, TrialConfig]]) -> str:
        parts = [f"{task} {config.model_dump_json()}" for task, config in steps]
        return hashlib.sha256(repr(("joint", self.name, self.runs.device.type, parts)).encode()).hexdigest()[:16]

    def _network(self, config: TrialConfig, base: Path | None) -> MultitaskNetwork:
        torch.manual_seed(config.train.seed)
        network = build_network(config.network(len(self.runs.manifest.classes)))
        if base is not None:
            load_weights(network, network.state_dict() | read_weights(base), source=str(base))
        return network

    def _fit(self, network: MultitaskNetwork, config: TrialConfig, task: Task) -> Any:
        loaders = (self._loader(config, part) for part in ("train", "val"))
        return fit(network, *loaders, config.train, task=task, device=self.runs.device, monitor=_MONITOR[task])

    def _loader(self, config: TrialConfig, part: str) -> Loader:
        manifest, train = self.runs.manifest, part == "train"
        dataset = LeafDataset(manifest.split(part), manifest.classes, config.data, train=train)
        return make_loader(dataset, batch_size=config.train.batch_size, train=train, seed=config.train.seed)

    def _test(self, network: MultitaskNetwork, config: TrialConfig) -> dict[str, Any]:
        loader = self._loader(config, "test")
        found = collect_outcomes(network, loader, device=self.runs.device, segment=True)
        assert found.masks is not None
        samples = [sample for sample in self.runs.manifest.split("test") if sample.mask is not None]
        masks = ImageMasks(tuple(str(sample.image) for sample in samples), found.masks)
        metrics = found.metrics()
        return {
            "accuracy": metrics["accuracy"],
            "iou": metrics["iou"],
            "right": (found.labels.predicted_I == found.labels.label_I).astype(int).tolist(),
            "image_iou": masks.iou_I().tolist(),
            "parameters": cost(config.network(len(self.runs.manifest.classes))).parameters,
        }
