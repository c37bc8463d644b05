"""The small studies of a chaos run."""

from pathlib import Path

from optuna.storages import RDBStorage

from ..search.handle import StudyHandle
from ..storage.artifacts import Artifacts
from ..studies.create import create_requested
from ..studies.request import StudyRequest
from ..trials.kinds import Kind

HEARTBEAT_S = 0.25  # short, so that many faults outlast the grace of three seconds
SETTINGS = {
    "encoder.name": "test_resnet",
    "encoder.weights": "none",
    "data.size": 32,
    "train.epochs": 5,
    "train.batch_size": 8,
    "train.optimizer": "adamw",
}
PRUNERS = ("none", "asha", "median")
_LONG = {"train.epochs": 10_000}


def create_small(
    storage: RDBStorage, store: Artifacts, leaves: Path, *, number: int, seed: int, trials: int
) -> StudyHandle:
    """Create the ``number``-th study of the run, of trials that take a second."""
    request = StudyRequest(
        name=f"chaos-{number}",
        kind=Kind.CLASSIFIER,
        data=leaves,
        settings=SETTINGS,
        trials=trials,
        seed=seed + number,
        pruner=PRUNERS[(seed + number) % len(PRUNERS)],
        heartbeat=HEARTBEAT_S,
    )
    return create_requested(storage, store, request)[0]


def create_endless(storage: RDBStorage, store: Artifacts, leaves: Path, name: str) -> StudyHandle:
    """Create a study of one trial that never ends by itself."""
    request = StudyRequest(
        name=name,
        kind=Kind.CLASSIFIER,
        data=leaves,
        settings=SETTINGS | _LONG,
        trials=1,
        pruner="none",
        heartbeat=HEARTBEAT_S,
    )
    return create_requested(storage, store, request)[0]
