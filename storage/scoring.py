"""What a bundle scores on labelled images, and which images it has seen before."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError

from ..data.dataset import LeafDataset, make_loader
from ..data.manifest import SPLITS, Item, Manifest
from ..errors import DataError, UserError
from ..models.network import MultitaskNetwork
from ..trials.boost import Booster
from ..trials.config import TrialConfig
from ..trials.evaluate import Score, score, score_probabilities
from ..trials.features import pool_features
from .bundles import IMAGES, BundleRecord, sha256

BATCH_SIZE = 32

_KNOWN = TypeAdapter(dict[str, list[str]])


def score_parts(
    network: MultitaskNetwork,
    booster: Booster | None,
    items: Sequence[Item],
    classes: Sequence[str],
    config: TrialConfig,
    *,
    device: torch.device,
) -> dict[str, Score]:
    """Every metric that the bundle and the data allow, with 95 % intervals.

    With a booster the label metrics are the booster's, and the network head's stand beside them as ``head_*``. Where
    every image has a mask, ``accuracy_blanked`` is the accuracy with the background blanked by the mask: a network
    that lives on the background falls there.
    """
    dataset = LeafDataset(items, classes, config.data, train=False)
    loader = make_loader(dataset, batch_size=BATCH_SIZE, train=False, seed=0)
    scores = score(network.to(device), loader, device=device)
    if booster is not None:
        scores |= {f"head_{name}": scores[name] for name in ("accuracy", "logloss")}
        scores |= _label_scores(network, booster, dataset, device)
    if all(item.mask is not None for item in items):
        blanked = LeafDataset(items, classes, config.data, train=False, blank=True)
        scores["accuracy_blanked"] = _label_scores(network, booster, blanked, device)["accuracy"]
    return scores


def write_known(manifest: Manifest, folder: Path) -> None:
    """Keep the sha256 of every image file by its part; ``folder`` is the bundle's. DataError if one cannot be read."""
    known = {part: sorted(_hashes(manifest.part(part))) for part in SPLITS}
    (folder / IMAGES).write_bytes(_KNOWN.dump_json(known, indent=2) + b"\n")


def read_known(folder: Path, record: BundleRecord) -> dict[str, list[str]]:
    """The sha256 of the image files by part; UserError if they are missing or not as many as the record says."""
    try:
        known = _KNOWN.validate_json((folder / IMAGES).read_bytes())
    except (OSError, ValidationError) as error:
        reason = error.strerror if isinstance(error, OSError) else error.errors(include_input=False)[0]["msg"]
        raise UserError(f"{IMAGES} cannot be read ({reason}); export the bundle again.") from None
    if {part: len(hashes) for part, hashes in known.items()} != record.images:
        raise UserError(f"{IMAGES} does not list the images that the record counts; export the bundle again.")
    return known


def unseen(items: Sequence[Item], known: dict[str, list[str]]) -> dict[str, list[Item]]:
    """The items that the bundle was not made with: of its own ``test`` part, and ``new`` ones, if any.

    Told by the bytes of the image file alone, whatever its name and label: a copy that was saved anew counts as new.
    Raises DataError if an image cannot be read.
    """
    used, test = {*known["train"], *known["val"]}, set(known["test"])
    parts: dict[str, list[Item]] = {"test": [], "new": []}
    for item, digest in zip(items, _hashes(items), strict=True):
        if digest not in used:
            parts["test" if digest in test else "new"].append(item)
    return {part: found for part, found in parts.items() if found}


def _hashes(items: Sequence[Item]) -> list[str]:
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(_hash, items))


def _hash(item: Item) -> str:
    try:
        return sha256(item.image)
    except OSError as error:
        raise DataError(f"{item.image} cannot be read ({error.strerror}): restore it or take it out") from error


def _label_scores(
    network: MultitaskNetwork, booster: Booster | None, dataset: LeafDataset, device: torch.device
) -> dict[str, Score]:
    features = pool_features(network, dataset, device)
    probabilities = features.probabilities if booster is None else booster.predict(features.x)
    return score_probabilities(probabilities.astype(np.float64), features.y)
