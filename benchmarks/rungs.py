"""Measure the epochs that ASHA saves: the same trials with full training and with rungs.

Both studies draw the same random points around the default recipe, on generated leaves, with one
worker. The recipe's trial is never pruned. The table also gives the replay's prediction.

    python benchmarks/rungs.py [--trials N] [--epochs N] [--batch N]
"""

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import optuna
from _report import write_report

from venation.data.synthetic import write_leaves
from venation.insight.simulate import simulate
from venation.search.handle import StudyHandle
from venation.storage import embedded
from venation.storage.artifacts import open_artifacts
from venation.storage.database import open_storage
from venation.studies.context import open_context
from venation.studies.create import create_requested
from venation.studies.request import make_request
from venation.workers.worker import work

GOAL = 3.0


def run(leaves: Path, pruner: str, options: argparse.Namespace) -> StudyHandle:
    """Run a study with this pruner to its end."""
    storage, artifacts = open_storage(embedded.start()), open_artifacts(None)
    settings = {
        "encoder.name": "test_resnet",
        "encoder.weights": "none",
        "data.size": 48,
        "train.epochs": options.epochs,
        "train.batch_size": options.batch,
    }
    chosen: dict[str, Any] = {"trials": options.trials, "sampler": "random", "objective": "logloss", "pruner": pruner}
    chosen |= {"name": pruner, "kind": "classifier", "data": leaves, "settings": settings}
    handle, _ = create_requested(storage, artifacts, make_request(chosen))
    work([open_context(handle, artifacts, device="auto")], until_idle=True)
    return handle


def row(handle: StudyHandle, full: StudyHandle) -> dict[str, Any]:
    """Return one study's epochs and best trial; ``fewer`` compares it with the ``full`` one."""
    epochs, every = (
        sum(len(t.intermediate_values) for t in h.study.get_trials(deepcopy=False)) for h in (handle, full)
    )
    best = handle.study.best_trial
    return {
        "pruner": handle.spec.pruner,
        "trials": len(handle.study.trials),
        "epochs": epochs,
        "fewer": every / epochs,
        "best_trial": best.number,
        "best_logloss": best.value,
    }


def main() -> None:
    """Run both studies, replay the full one, and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=27, help="epochs of a full training")
    parser.add_argument("--batch", type=int, default=16, help="images per batch")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="vn") as folder:
        os.environ["VENATION_HOME"] = str(Path(folder).resolve() / "home")
        try:
            leaves = Path(folder) / "leaves"
            write_leaves(leaves, classes=6, images=24, size=48, seed=0)
            full, asha = (run(leaves, pruner, options) for pruner in ("none", "asha"))
            (replayed,), _ = simulate(full, ["asha"], workers=1)
            rows = [row(full, full), row(asha, full)]
            rows.append(
                {
                    "pruner": "asha, replayed",
                    "trials": replayed.trials,
                    "epochs": replayed.epochs,
                    "fewer": replayed.full / replayed.epochs,
                    "best_trial": replayed.winner,
                    "best_logloss": replayed.value,
                }
            )
            write_report("rungs", rows)
        finally:
            embedded.stop()


if __name__ == "__main__":
    main()
