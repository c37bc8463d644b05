"""Train a finished trial again from its record, and compare metrics and weights.

On a CPU with one thread the result is equal to the last bit: initial weights, order of images and
random changes depend on the recorded seeds alone.
"""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState
from safetensors.numpy import load_file

from ..bundles.record import BOOSTER, WEIGHTS, fold_weights
from ..errors import UserError
from ..storage.artifacts import get_file
from ..storage.attributes import METRICS, PROVENANCE
from ..studies.base import find_file, recorded_config
from ..studies.context import StudyContext
from ..studies.loaders import Loaders
from ..studies.registry import get_trial
from ..trials.boost import fit_booster
from ..trials.booster import Booster
from ..trials.checkpoint import write_weights
from ..trials.cross_validation import CrossValidation
from ..trials.evaluate import collect_task, label_metrics, task_metrics
from ..trials.provenance import collect_provenance
from ..trials.train import fit
from ..trials.trial_config import TrialConfig
from .fold_trial import mean_metrics
from .train_trial import own_weights, trial_task

# Measured on the machine, so never the same.
_MEASURED = "latency"

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Reproduction:
    """The comparison of a trial with its second training.

    ``metrics`` has pairs, the recorded value first. ``weights_difference`` is the largest of a
    number in the stored files, 0 if all are equal to the last bit. ``setup`` lists in what the
    recorded machine differs from this one.
    """

    study: str
    trial: int
    metrics: dict[str, tuple[float, float]]
    weights_difference: float
    setup: tuple[str, ...]

    @property
    def exact(self) -> bool:
        """Whether metrics and weights are equal to the last bit."""
        return self.weights_difference == 0 and all(first == second for first, second in self.metrics.values())

    def sentence(self) -> str:
        """Return the result in one line, with the reason for a difference if one is known."""
        name = f"trial {self.trial} of `{self.study}`"
        if self.exact:
            return f"{name} is reproduced to the last bit: {len(self.metrics)} metrics and all weights"
        changed = [f"{name} {a:.6g}, now {b:.6g}" for name, (a, b) in self.metrics.items() if a != b]
        found = "; ".join([f"weights by up to {self.weights_difference:.2g}", *changed])
        why = "; ".join(self.setup) or "the recorded set-up is the same: use --device cpu --threads 1 in both runs"
        return f"{name} differs: {found}. Why: {why}"

    def record(self) -> dict[str, Any]:
        """Return the comparison as plain data."""
        return asdict(self) | {"exact": self.exact, "says": self.sentence()}


def reproduce(context: StudyContext, number: int) -> Reproduction:
    """Train trial ``number`` of the study again, and compare it with its stored files and metrics.

    Nothing is written to the study. Raises UserError for a trial that has not finished or that
    ranked the subnets of a supernet.
    """
    trial, name = get_trial(context.handle, number), context.handle.study.study_name
    if trial.state != TrialState.COMPLETE:
        raise UserError(f"trial {number} of `{name}` is {trial.state.name}, and only a COMPLETE one is reproduced.")
    config = recorded_config(trial)
    if context.spec.search == "oneshot" and number == 0:
        raise UserError(f"trial {number} of `{name}` trained the study's supernet: reproduce one of the other trials.")
    with tempfile.TemporaryDirectory(prefix="venation-") as scratch:
        metrics, files = _again(context, config, Path(scratch))
        difference = max((_difference(context, trial, path) for path in files), default=0.0)
    recorded = METRICS.get(trial) or {}
    pairs = {key: (recorded[key], value) for key, value in metrics.items() if key in recorded and key != _MEASURED}
    return Reproduction(name, number, pairs, difference, setup_differences(PROVENANCE.get(trial) or {}, context))


def _again(context: StudyContext, config: TrialConfig, folder: Path) -> tuple[dict[str, float], list[Path]]:
    """Train again; return the metrics and the files with the weights."""
    if context.spec.kind.facts.task is None:
        return _boost_again(context, config, folder)
    results, files = [], []
    for name, loaders in _parts(context):
        network, task = context.network(config), trial_task(context)
        train, val = loaders.make(config, "train"), loaders.make(config, "val")
        given: dict[str, Any] = {"device": context.device, "monitor": context.spec.objective}
        for _ in fit(network, train, val, config.train, task=task, **given):
            pass
        results.append(task_metrics(collect_task(network, val, device=context.device, task=task), task))
        files.append(folder / name)
        write_weights(own_weights(context, network), files[-1])
    return mean_metrics(results) if len(results) > 1 else results[0], files


def _parts(context: StudyContext) -> Iterator[tuple[str, Loaders]]:
    """Yield the file of each network that a trial trains, and its data."""
    if not context.spec.folds:
        yield WEIGHTS, context.loaders
    for fold in range(len(context.folds)):
        yield fold_weights(fold), context.fold_loaders(fold)


def _boost_again(context: StudyContext, config: TrialConfig, folder: Path) -> tuple[dict[str, float], list[Path]]:
    val, boost = context.features.split("val"), config.boost
    if boost.booster == "head":
        return label_metrics(val.probabilities, val.y), []
    given: dict[str, Any] = {"num_classes": context.num_classes, "device": context.device.type}
    if boost.folds:
        fitting = CrossValidation(context.features.folds(boost.folds), context.features.joined, boost, **given)
        for _ in fitting:
            pass
        booster, probability_NK = fitting.booster, fitting.probability_NK
    else:
        once = fit_booster(context.features.train_and_val, boost, **given)
        for _ in once:
            pass
        booster, probability_NK = once.booster, once.booster.predict(val.x)
    booster.save(folder / BOOSTER)
    return label_metrics(probability_NK, val.y), [folder / BOOSTER]


def _difference(context: StudyContext, trial: FrozenTrial, path: Path) -> float:
    """Return the largest difference between a new file's numbers and the stored file's."""
    find_file(context.handle, trial, path.name)
    with tempfile.TemporaryDirectory(prefix="venation-") as folder:
        stored = get_file(context.artifacts, trial, path.name, to=Path(folder), storage=context.handle.storage)
        if stored.read_bytes() == path.read_bytes():
            return 0.0
        if path.name == BOOSTER:
            x_NC = context.features.split("val").x
            answers = [Booster.load(each).predict(x_NC) for each in (stored, path)]
            return float(np.abs(answers[0] - answers[1]).max())
        return weights_difference(load_file(stored), load_file(path))


def weights_difference(first: Arrays, second: Arrays) -> float:
    """Return the largest difference of two sets of arrays.

    It is infinite if names or shapes differ, or a number is NaN.
    """
    if {name: each.shape for name, each in first.items()} != {name: each.shape for name, each in second.items()}:
        return float("inf")
    gaps = [np.abs(first[name].astype(np.float64) - second[name]).max(initial=0.0) for name in first]
    largest = float(np.max(gaps, initial=0.0))
    return float("inf") if np.isnan(largest) else largest


def setup_differences(recorded: Mapping[str, Any], context: StudyContext) -> tuple[str, ...]:
    """Return in what the recorded machine and versions differ from those of this process."""
    now = collect_provenance(str(context.device)).model_dump(mode="json")
    versions = recorded.get("versions", {})
    found = [
        f"{package} {version}, here {now['versions'].get(package, 'not installed')}"
        for package, version in versions.items()
        if now["versions"].get(package) != version
    ]
    for name in ("threads", "python", "device", "platform", "commit"):
        if name in recorded and recorded[name] != now[name]:
            found.append(f"{name} {recorded[name]}, here {now[name]}")
    if (processes := recorded.get("processes", 1)) > 1:
        found.append(f"{processes} processes trained it together, here one")
    if recorded.get("threads") is None:
        found.append(f"the number of threads was not recorded, here {now['threads']}")
    return tuple(found)
