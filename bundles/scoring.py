"""Score a network on labelled images, and identify images that a bundle has seen before."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from ..data.data_config import DataConfig
from ..data.dataset import LeafDataset
from ..data.loader import make_loader
from ..data.manifest import SPLITS, Manifest, Sample
from ..errors import DataError, UserError
from ..models.ensemble_network import Ensemble
from ..models.finite import require_finite
from ..models.memory_format import place
from ..models.network import MultitaskNetwork
from ..trials.booster import Booster
from ..trials.evaluate import Outcomes, Score, collect_outcomes, score_outcomes
from ..trials.flips import NO_FLIPS, trained_flips
from ..trials.head_scores import head_outcomes, head_scores
from ..trials.metrics import LabelOutcomes
from ..trials.predict import Predictor
from .archive import read_text_file
from .bundle import sha256
from .image_masks import score_image_masks
from .record import IMAGES, BundleRecord

BATCH_SIZE = 32
# Metrics of the network's own head that are reported beside those of a booster.
_HEAD = ("accuracy", "logloss")

_HASHES = TypeAdapter(dict[str, list[str]])


@dataclass(frozen=True)
class ScoreReport:
    """Every metric of some images with its 95 % interval, and the predicted labels.

    ``probability_IN`` are the class probabilities of each image.
    """

    scores: dict[str, Score]
    labels: LabelOutcomes
    probability_IN: NDArray[np.floating]


def score_network(
    network: MultitaskNetwork,
    booster: Booster | None,
    samples: Sequence[Sample],
    classes: Sequence[str],
    view: DataConfig,
    *,
    mask_view: DataConfig,
    device: torch.device,
    flips: bool = False,
    by_head: bool = False,
) -> ScoreReport:
    """Return every metric that the bundle and the data allow; ``flips`` as in ``Predictor``.

    With a booster the label metrics are the booster's, and those of the network's head are added as
    ``head_*``. If every image has a mask, ``accuracy_blanked`` is the accuracy with the background
    blanked by the mask; it is low for a network that relies on the background. ``iou_image`` and
    ``dice_image`` score masks at the images' original sizes. ``by_head`` adds the scores of every
    head of a plug-in module; an ensemble has several modules and no such scores. The mask is
    predicted in ``mask_view``, the label in ``view``.
    """
    place(network, device)

    by_head = by_head and not isinstance(network, Ensemble)

    def run(seen: DataConfig, *, segment: bool, blank: bool = False, by_head: bool = False) -> Outcomes:
        # Every image is read once: a cache would only fill the memory.
        dataset = LeafDataset(samples, classes, seen, train=False, blank=blank, cache_bytes=0)
        loader = make_loader(dataset, batch_size=BATCH_SIZE, train=False, seed=0)
        used = trained_flips(seen) if flips else NO_FLIPS
        return collect_outcomes(
            network,
            loader,
            device=device,
            segment=segment,
            booster=booster,
            flips=used,
            boundaries=True,
            by_head=by_head,
        )

    segments, one_view = network.decoder is not None, view.same_view(mask_view)
    outcomes = run(view, segment=segments and one_view, by_head=by_head)
    if segments and not one_view:
        masks = run(mask_view, segment=True)
        outcomes = replace(outcomes, masks=masks.masks, ref_T=masks.ref_T)
    scores = score_outcomes(outcomes)
    if outcomes.head is not None:
        head = score_outcomes(Outcomes(outcomes.head, None, np.empty(0)))
        scores |= {f"head_{name}": head[name] for name in _HEAD}
    if outcomes.head_rows_IM is not None:
        scores |= head_scores(head_outcomes(outcomes.head_rows_IM, outcomes.head_names, outcomes.labels.label_I))
    if all(sample.mask is not None for sample in samples):
        scores["accuracy_blanked"] = score_outcomes(run(view, segment=False, blank=True))["accuracy"]
    if mask_view.one_at_a_time:
        # Whole images are scored at their own size already.
        scores |= {f"{name}_image": scores[name] for name in ("iou", "dice") if name in scores}
    else:
        predictor = Predictor(network, classes, mask_view, device=device, flips=flips)
        scores |= score_image_masks(predictor, samples)
    require_finite({"logloss": scores["logloss"].value}, "the bundle's score")
    assert outcomes.probability_IN is not None
    return ScoreReport(scores, outcomes.labels, outcomes.probability_IN)


def write_image_hashes(manifest: Manifest, folder: Path) -> None:
    """Write the sha256 of every image file, by split, into the bundle's ``folder``.

    Raises DataError if an image cannot be read.
    """
    hashes = {split: sorted(_hash_all(manifest.split(split))) for split in SPLITS}
    (folder / IMAGES).write_bytes(_HASHES.dump_json(hashes, indent=2) + b"\n")


def read_image_hashes(folder: Path, record: BundleRecord) -> dict[str, list[str]]:
    """Return the sha256 of the image files by split.

    Raises UserError if the file is missing or its counts differ from the record's.
    """
    try:
        hashes = _HASHES.validate_json(read_text_file(folder / IMAGES))
    except (OSError, ValidationError) as error:
        reason = error.strerror if isinstance(error, OSError) else error.errors(include_input=False)[0]["msg"]
        raise UserError(f"{IMAGES} cannot be read ({reason}); export the bundle again.") from None
    if {split: len(digests) for split, digests in hashes.items()} != record.images:
        raise UserError(f"{IMAGES} does not list the images that the record counts; export the bundle again.")
    return {split: [] for split in SPLITS} | hashes


def select_unseen(samples: Sequence[Sample], hashes: dict[str, list[str]]) -> dict[str, list[Sample]]:
    """Return the samples that the bundle was not made with: its ``test`` split and ``new`` ones.

    Images are identified by the bytes of the file, not by name or label: a re-encoded copy
    counts as new. Raises DataError if an image cannot be read.
    """
    used, test = {*hashes["train"], *hashes["val"]}, set(hashes["test"])
    selected: dict[str, list[Sample]] = {"test": [], "new": []}
    for sample, digest in zip(samples, _hash_all(samples), strict=True):
        if digest not in used:
            selected["test" if digest in test else "new"].append(sample)
    return {split: found for split, found in selected.items() if found}


def _hash_all(samples: Sequence[Sample]) -> list[str]:
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(_hash, samples))


def _hash(sample: Sample) -> str:
    try:
        return sha256(sample.image)
    except OSError as error:
        raise DataError(f"{sample.image} cannot be read ({error.strerror}): restore or remove it") from error
