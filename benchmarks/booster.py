"""Compare a booster study with XMNet's protocol: 150 trials on the same network and images.

XMNet's code (section 5.2) draws six parameters of ``gblinear``, three of which have no effect. Each
of its 150 trials extracts all features again, from augmented training images, and boosts 100
rounds. It keeps the trial with the lowest loss on the training images. Venation extracts once, from
a fixed view. It then searches a logistic regression (the optimum that ``gblinear`` boosts towards),
fitted once or in folds of the validation split, or XMNet's own space with early stopping.

A few trials of the slow protocols are measured and scaled to 150; the table gives their number.
Generating leaves, training the network and decoding images do not count. Two log-losses are those
of the model that a protocol keeps: on the validation split, by which Venation selects among its
trials, and on a split that no protocol has seen, which is the one to compare. Trees are not in the
table: in the default's space a trial of ``gbtree`` or ``dart`` costs many of a logistic regression.

Takes two minutes of CPU time; with ``--all``, which adds the folds and XMNet's space, twelve.

    python benchmarks/booster.py [--all]
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
import xgboost as xgb
from _report import write_report

from venation.data.data_config import DataConfig
from venation.data.dataset import LeafDataset
from venation.data.loader import make_loader
from venation.data.manifest import Manifest, load_manifest
from venation.data.splits import assign_splits
from venation.data.synthetic import write_leaves
from venation.models.build import build_network
from venation.models.network import MultitaskNetwork
from venation.spaces.fields import set_fields
from venation.spaces.presets import recipe
from venation.spaces.space import Space
from venation.trials.auto_fields import resolve_auto
from venation.trials.boost import BoostData, fit_booster
from venation.trials.booster import Booster
from venation.trials.cross_validation import CrossValidation, join, split_folds
from venation.trials.device import choose_device
from venation.trials.evaluate import label_metrics
from venation.trials.features import Features, pool_features
from venation.trials.train import fit
from venation.trials.trial_config import BoostConfig, TrialConfig

TRIALS = 150
DEVICE = choose_device("auto")


@dataclass(frozen=True)
class Scale:
    """The sizes; ``reference`` and ``boosted`` are the numbers of trials of the slow protocols."""

    encoder: str
    size: int
    classes: int
    images: int
    epochs: int
    reference: int
    boosted: int


CPU = Scale("resnet14t", 64, classes=60, images=12, epochs=4, reference=2, boosted=4)
CUDA = Scale("resnet50", 224, classes=40, images=20, epochs=20, reference=8, boosted=20)
SCALE = CUDA if DEVICE.type == "cuda" else CPU


@dataclass(frozen=True)
class Subject:
    """The common start of all protocols: a trained network, its config, and decoded images."""

    config: TrialConfig
    manifest: Manifest
    network: MultitaskNetwork
    plain: dict[str, LeafDataset]
    augmented: LeafDataset


@dataclass(frozen=True)
class Measured:
    """Seconds of ``trials`` trials and of the work before them; log-losses of the kept model."""

    once: float
    seconds: float
    trials: int
    val_logloss: float
    unseen_logloss: float


def make_subject(folder: Path) -> Subject:
    """Generate leaves and train a network on their training split."""
    write_leaves(folder, classes=SCALE.classes, images=SCALE.images, size=SCALE.size, seed=5)
    manifest = assign_splits(load_manifest(folder), seed=0, val=0.25, test=0.2)
    own = {"encoder.name": SCALE.encoder, "encoder.weights": "none"}
    own |= {"data.size": SCALE.size, "train.epochs": SCALE.epochs}
    config = resolve_auto(set_fields(recipe("default", "classifier").config, own))
    torch.manual_seed(0)
    network = build_network(config.network(len(manifest.classes)))
    view: DataConfig = config.data
    plain = {part: _dataset(manifest, part, view, train=False) for part in ("train", "val", "test")}
    augmented = _dataset(manifest, "train", view, train=True)
    loaders = [
        make_loader(data, batch_size=config.train.batch_size, train=data is augmented, seed=0)
        for data in (augmented, plain["val"])
    ]
    for _ in fit(network, *loaders, config.train, task="classify", device=DEVICE, monitor="logloss"):
        pass
    pool_features(network, plain["train"], DEVICE)
    return Subject(config, manifest, network.eval(), plain, augmented)


def reference(subject: Subject) -> Measured:
    """Run XMNet's protocol, faster than its own code.

    Rounds are not evaluated, and images are decoded once.
    """
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    models: list[xgb.Booster] = []

    def run(trial: optuna.Trial) -> float:
        train, _ = (pool_features(subject.network, data, DEVICE) for data in (subject.augmented, subject.plain["val"]))
        model, matrix = _boost_as_published(trial, train)
        models.append(model)
        return _loss(model.predict(matrix), train)

    seconds = _seconds(lambda: study.optimize(run, n_trials=SCALE.reference))
    kept = models[study.best_trial.number]
    val, unseen = (pool_features(subject.network, subject.plain[part], DEVICE) for part in ("val", "test"))
    losses = (_loss(kept.predict(xgb.DMatrix(part.x)), part) for part in (val, unseen))
    return Measured(0.0, seconds, SCALE.reference, *losses)


def ours(subject: Subject, config: TrialConfig, space: Space, *, trials: int) -> Measured:
    """Extract features once, then run ``trials`` trials of ``space`` around ``config``."""
    found: dict[str, Features] = {}
    once = _seconds(lambda: found.update(_extract(subject)))
    data = BoostData(found["train"], found["val"])
    groups = [sample.group for sample in subject.manifest.split("val")]
    folds = split_folds(found["train"], found["val"], groups, folds=config.boost.folds) if config.boost.folds else []
    whole = BoostData(join(found["train"], found["val"]), None)
    classes = len(subject.manifest.classes)
    models: list[Booster] = []

    def run(trial: optuna.Trial) -> float:
        boost = space.suggest(trial, config).boost
        if folds:
            crossed = CrossValidation(folds, whole, boost, num_classes=classes, device=DEVICE.type)
            for _ in crossed:
                pass
            probability_NK, booster = crossed.probability_NK, crossed.booster
        else:
            single = fit_booster(data, boost, num_classes=classes, device=DEVICE.type)
            for _ in single:
                pass
            booster = single.booster
            probability_NK = booster.predict(found["val"].x)
        models.append(booster)
        return _loss(probability_NK, found["val"])

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    seconds = _seconds(lambda: study.optimize(run, n_trials=trials))
    unseen = pool_features(subject.network, subject.plain["test"], DEVICE)
    kept = models[study.best_trial.number].predict(unseen.x)
    return Measured(once, seconds, trials, study.best_value, _loss(kept, unseen))


def _boost_as_published(trial: optuna.Trial, train: Features) -> tuple[xgb.Booster, xgb.DMatrix]:
    parameters: dict[str, Any] = {
        name: trial.suggest_float(name, 1e-8, 1.0, log=True) for name in ("lambda", "alpha", "eta", "gamma")
    }
    # gblinear ignores these two, and gamma.
    parameters |= {name: trial.suggest_float(name, 0.2, 1.0) for name in ("subsample", "colsample_bytree")}
    parameters |= {"booster": "gblinear", "objective": "multi:softprob", "num_class": int(train.y.max()) + 1}
    parameters |= {"seed": 1, "verbosity": 0, "nthread": torch.get_num_threads()}
    matrix = xgb.DMatrix(train.x, train.y)
    return xgb.train(parameters, matrix, num_boost_round=100), matrix


def _extract(subject: Subject) -> dict[str, Features]:
    return {part: pool_features(subject.network, subject.plain[part], DEVICE) for part in ("train", "val")}


def _dataset(manifest: Manifest, part: str, view: DataConfig, *, train: bool) -> LeafDataset:
    return LeafDataset(manifest.split(part), manifest.classes, view, train=train)


def _loss(probability_NK: np.ndarray, features: Features) -> float:
    return label_metrics(probability_NK, features.y)["logloss"]


def _seconds(run: Callable[[], object]) -> float:
    # Without a GPU, CPU time is used, which depends little on other load.
    clock = time.perf_counter if DEVICE.type == "cuda" else time.process_time
    started = clock()
    run()
    return clock() - started


def rows(subject: Subject, *, everything: bool) -> list[dict[str, Any]]:
    """Return one line per protocol."""
    default, published = recipe("default", "booster"), recipe("xmnet", "booster")
    logistic = default.space.without({"boost.booster"})
    once = default.config.model_copy(update={"boost": BoostConfig(booster="logistic")})
    protocols: dict[str, Callable[[], Measured]] = {
        "reference": lambda: reference(subject),
        "logistic": lambda: ours(subject, once, logistic, trials=TRIALS),
    }
    if everything:
        protocols |= {
            "logistic, 5 folds": lambda: ours(subject, default.config, logistic, trials=TRIALS),
            "gblinear, stopped early": lambda: ours(subject, published.config, published.space, trials=SCALE.boosted),
        }
    lines: list[dict[str, Any]] = []
    base = 0.0
    for name, run in protocols.items():
        measured = run()
        print(f"{name}: {measured.trials} trials in {measured.seconds:.1f} s", flush=True)
        full = measured.once + measured.seconds / measured.trials * TRIALS
        base = base or full
        lines.append(
            {
                "protocol": name,
                "trials_measured": measured.trials,
                "seconds_a_trial": measured.seconds / measured.trials,
                f"seconds_{TRIALS}_trials": full,
                "times_faster": base / full,
                "val_logloss": measured.val_logloss,
                "unseen_logloss": measured.unseen_logloss,
            }
        )
    return lines


def main() -> None:
    """Build the subject and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--all", action="store_true", help="also run the slow protocols")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        write_report("booster", rows(make_subject(Path(folder) / "leaves"), everything=options.all))


if __name__ == "__main__":
    main()
