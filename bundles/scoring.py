"""What a bundle scores on labelled images, and which images it has seen before."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError

from ..data.dataset import LeafDataset, make_loader
from ..data.manifest import SPLITS, Manifest, Sample
from ..errors import DataError, UserError
from ..models.network import MultitaskNetwork
from ..trials.booster import Booster
from ..trials.evaluate import Outcomes, Score, collect_outcomes, score_outcomes
from ..trials.flips import NO_FLIPS, trained_flips
from ..trials.metrics import LabelOutcomes
from ..trials.predict import Predictor
from ..trials.trial_config import TrialConfig
from .bundle import IMAGES, BundleRecord, sha256
from .image_masks import score_image_masks

BATCH_SIZE = 32
# What is said of the network's own head where a booster decides.
_HEAD = ("accuracy", "logloss")

_KNOWN = TypeAdapter(dict[str, list[str]])


@dataclass(frozen=True)
class Measured:
    """Every metric that a bundle and some images allow, with 95 % intervals, and what was said of each label."""

    scores: dict[str, Score]
    labels: LabelOutcomes


def score_parts(
    network: MultitaskNetwork,
    booster: Booster | None,
    samples: Sequence[Sample],
    classes: Sequence[str],
    config: TrialConfig,
    *,
    device: torch.device,
) -> dict[str, Score]:
    """The scores of ``measure``."""
    return measure(network, booster, samples, classes, config, device=device).scores


def measure(
    network: MultitaskNetwork,
    booster: Booster | None,
    samples: Sequence[Sample],
    classes: Sequence[str],
    config: TrialConfig,
    *,
    device: torch.device,
    flips: bool = False,
) -> Measured:
    """Every metric that the bundle and the data allow, with 95 % intervals; ``flips`` as in ``Predictor``.

    With a booster the label metrics are the booster's, and the network head's stand beside them as ``head_*``. Where
    every image has a mask, ``accuracy_blanked`` is the accuracy with the background blanked by the mask: a network
    that lives on the background falls there. ``iou_image`` and ``dice_image`` see the masks at the images' own sizes.
    """
    network.to(device)
    asked = trained_flips(config.data) if flips else NO_FLIPS

    def look(*, blank: bool) -> Outcomes:
        dataset = LeafDataset(samples, classes, config.data, train=False, blank=blank)
        loader = make_loader(dataset, batch_size=BATCH_SIZE, train=False, seed=0)
        segment = network.decoder is not None and not blank
        return collect_outcomes(
            network, loader, device=device, segment=segment, booster=booster, flips=asked, boundaries=True
        )

    outcomes = look(blank=False)
    scores = score_outcomes(outcomes)
    if outcomes.head is not None:
        head = score_outcomes(Outcomes(outcomes.head, None, np.empty(0)))
        scores |= {f"head_{name}": head[name] for name in _HEAD}
    if all(sample.mask is not None for sample in samples):
        scores["accuracy_blanked"] = score_outcomes(look(blank=True))["accuracy"]
    predictor = Predictor(network, classes, config.data, device=device, flips=flips)
    scores |= score_image_masks(predictor, samples)
    return Measured(scores, outcomes.labels)


def write_known(manifest: Manifest, folder: Path) -> None:
    """Keep the sha256 of every image file by its part; ``folder`` is the bundle's. DataError if one cannot be read."""
    known = {part: sorted(_hashes(manifest.split(part))) for part in SPLITS}
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


def unseen(samples: Sequence[Sample], known: dict[str, list[str]]) -> dict[str, list[Sample]]:
    """The samples that the bundle was not made with: of its own ``test`` part, and ``new`` ones, if any.

    Told by the bytes of the image file alone, whatever its name and label: a copy that was saved anew counts as new.
    Raises DataError if an image cannot be read.
    """
    used, test = {*known["train"], *known["val"]}, set(known["test"])
    parts: dict[str, list[Sample]] = {"test": [], "new": []}
    for sample, digest in zip(samples, _hashes(samples), strict=True):
        if digest not in used:
            parts["test" if digest in test else "new"].append(sample)
    return {part: found for part, found in parts.items() if found}


def _hashes(samples: Sequence[Sample]) -> list[str]:
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(_hash, samples))


def _hash(sample: Sample) -> str:
    try:
        return sha256(sample.image)
    except OSError as error:
        raise DataError(f"{sample.image} cannot be read ({error.strerror}): restore it or take it out") from error
