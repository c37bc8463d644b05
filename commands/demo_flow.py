"""The main flow on a small scale: leaves, three studies, workers, a bundle, a prediction."""

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from optuna.storages import RDBStorage

from ..api.stores import open_both
from ..bundles.bundle import read_record
from ..bundles.predict import predict_paths
from ..data.data_config import SplitConfig
from ..data.manifest import load_manifest
from ..data.splits import assign_splits
from ..data.synthetic import write_leaves
from ..errors import UserError
from ..storage.artifacts import Artifacts
from ..storage.urls import resolve_url
from ..studies.create import create_requested
from ..studies.export import export_studies
from ..studies.registry import delete_study, find_study
from ..studies.request import make_request
from .printing import print_rows

log = logging.getLogger(__name__)

MARK = ".venation-demo"
LEAVES = {"classes": 5, "images": 28, "size": 192, "seed": 7}
METRICS = ("accuracy", "macro_f1", "iou", "dice")
STUDIES: dict[str, dict[str, Any]] = {
    "demo": {
        "kind": "classifier",
        "trials": 4,
        # The leaves are drawn at this size, and one encoder is enough to show the search.
        "settings": {"data.size": LEAVES["size"], "encoder.name": "tf_efficientnet_lite0", "train.epochs": 6},
    },
    "demo-veins": {"kind": "decoder", "base": "demo", "trials": 4, "settings": {"train.epochs": 6}},
    "demo-boost": {"kind": "booster", "base": "demo", "trials": 10, "settings": {}},
}


def run_demo(*, workers: int, out: Path, storage: str | None, artifacts: str | None) -> Path:
    """Run the demo with ``workers`` processes and return the path of the bundle.

    Replace an earlier demo in ``out``.
    """
    _empty_folder(out)
    log.info("1/5 drawing leaves of %d cultivars", LEAVES["classes"])
    leaves = out / "leaves"
    write_leaves(leaves, **LEAVES)
    url = resolve_url(storage)
    database, store = open_both(url, artifacts)
    log.info("2/5 creating the studies %s", ", ".join(STUDIES))
    _create_studies(database, store, leaves, shared=storage is not None)
    log.info("3/5 searching; worker processes: %d (watch: venation dashboard)", workers)
    _run_workers(workers, url, artifacts)
    log.info("4/5 exporting the best trials")
    bundle = export_studies(database, store, list(STUDIES)[1:], out=out / "demo.bundle", device="cpu")
    log.info("5/5 predicting")
    rows = predict_paths(bundle, _test_images(leaves), out / "predictions", overlay=True)
    print_rows(rows)
    shown = [row for row in read_record(bundle).score_rows() if row["part"] == "test" and row["metric"] in METRICS]
    print(f"on the test split, which no training or selection has used (chance: {1 / LEAVES['classes']:.2f}):")
    print_rows(shown)
    print(f"bundle: {bundle}")
    print(f"predict with: venation predict {bundle} {leaves / 'images'} -o {out / 'out'} --overlay --heatmap")
    return bundle


def _test_images(leaves: Path) -> list[Path]:
    """Return one image of each cultivar from the test split, which nothing was trained on."""
    split = SplitConfig()
    test = assign_splits(load_manifest(leaves), seed=split.seed, val=split.val, test=split.test).split("test")
    return list({sample.label: sample.image for sample in test}.values())


def _empty_folder(out: Path) -> None:
    if out.exists():
        if not (out / MARK).is_file() and any(out.iterdir()):
            raise UserError(f"`{out}` is not empty and holds no earlier demo; choose another folder with --out.")
        shutil.rmtree(out)
    out.mkdir(parents=True)
    (out / MARK).touch()


def _create_studies(database: RDBStorage, store: Artifacts, leaves: Path, *, shared: bool) -> None:
    """Create the demo's studies.

    Replace those of an earlier demo, unless other users share the database.
    """
    for name in reversed(STUDIES):
        if find_study(database, name) is not None:
            if shared:
                raise UserError(f"study `{name}` exists in this database; `venation study delete {name}` removes it.")
            delete_study(database, name, store)
    for name, options in STUDIES.items():
        data = None if "base" in options else leaves
        create_requested(database, store, make_request({"name": name, "data": data, **options}))


def _run_workers(number: int, url: str, artifacts: str | None) -> None:
    """Run worker processes until the studies have ended; UserError if one of them fails."""
    command = [sys.executable, "-m", "venation.cli", "worker", *STUDIES, "--until-idle"]
    threads = str(max(1, (os.cpu_count() or 1) // number))
    environment = os.environ | {"VENATION_STORAGE": url, "OMP_NUM_THREADS": threads}
    if artifacts is not None:
        environment["VENATION_ARTIFACTS"] = artifacts
    processes = [subprocess.Popen(command, env=environment) for _ in range(number)]
    try:
        codes = [process.wait() for process in processes]
    finally:
        for process in processes:
            process.terminate()
    if any(codes):
        raise UserError(f"a worker stopped with exit code {max(codes)}; see its last lines above.")
