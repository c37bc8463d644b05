"""The rows of the plain scripts in ``peers``: what a user would do without Venation."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _methods_recipes import Place, Scale
from _methods_runs import Runs
from peers.write_split import write_split

PEERS = Path(__file__).parent / "peers"


@dataclass(frozen=True)
class Peer:
    """One script with its options; ``task`` as in the other rows."""

    task: str
    method: str
    options: tuple[str, ...]


def peers(scale: Scale, place: Place, *, labels: bool, steps: int) -> list[Peer]:
    """Return the peers of one data set: one for its masks, and two for its labels if it has any.

    The fine-tune has as many epochs as the default, the segmentation ``steps`` batches of 8.
    """
    size = ("--size", str(place.view["data.size"]))
    view = ("--patch", str(place.mask_view["data.size"])) if place.mask_view else size
    found = [Peer("segment", "smp_segment", (*view, "--steps", str(steps)))]
    if labels:
        found.append(Peer("classify", "linear_probe", size))
        found.append(Peer("classify", "timm_finetune", (*size, "--epochs", str(scale.classify_epochs))))
    return found


def peer_result(runs: Runs, peer: Peer) -> dict[str, Any] | None:
    """Return the outcome of one script, from the file or by running it; None if it may not run."""
    key = f"{runs.name} {runs.seed} {peer.method} {' '.join(peer.options)}"
    known = runs.known().get(key)
    if known or runs.only_stored:
        return known
    split = runs.folder / f"{runs.name}-{runs.seed}.csv"
    write_split(runs.manifest, split)
    seeded = () if peer.method == "linear_probe" else ("--seed", str(runs.seed))
    command = [sys.executable, str(PEERS / f"{peer.method}.py"), str(split), *peer.options, *seeded]
    line = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    test = {name: line[name] for name in ("accuracy", "accuracy_blanked", "iou", "dice") if name in line}
    return runs.store({"key": key, "val": line.get("val"), "test": test, "seconds": line["seconds"]})
