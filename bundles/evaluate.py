"""Score a bundle on labelled images that it was not trained or selected on."""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ..data.groups import find_groups, read_groups
from ..data.manifest import Manifest, Sample, load_manifest
from ..errors import DataError
from ..trials.evaluate import Score
from ..trials.metrics import LabelOutcomes
from .bundle import BundleRecord, intact
from .group_scores import GroupScore, group_accuracy, group_scores
from .predict import load_parts, warn_without_flips
from .scoring import measure, read_known, unseen
from .tables import make_folder, write_tables

log = logging.getLogger(__name__)


def evaluate_bundle(
    bundle: Path,
    data: Path,
    *,
    device: torch.device,
    out: Path | None = None,
    flips: bool = False,
    groups: Path | None = None,
) -> list[dict[str, Any]]:
    """Scores of the bundle on labelled images, as rows with 95 % intervals; with ``out`` also as tables, there.

    Where the data have a ``groups.json``, or ``groups`` names another such file, there are rows for the coarse groups
    too: ``group_accuracy`` over all, ``fine_accuracy/GROUP`` and ``outer_errors/GROUP`` where a group has several
    classes (HERBS, section 7). ``flips`` as in ``Predictor``.

    Images that the bundle was trained or chosen on are left out, by their bytes; those of its sealed test part are
    scored as part ``test``, all others as ``new``. Raises DataError if the data have a class that the bundle does not
    know, or no other images, or if the groups do not fit; UserError if ``out`` cannot be written.
    """
    with intact(bundle) as (folder, record):
        parts, known = load_parts(folder, record), read_known(folder, record)
    manifest = load_manifest(data)
    scored = _unseen_parts(manifest, data, record, known)
    where = groups or find_groups(manifest.root)
    coarse = read_groups(where, record.classes) if where is not None else None
    if out is not None:
        make_folder(out)
    warn_without_flips(record, flips)
    rows: list[dict[str, Any]] = []
    labels: dict[str, LabelOutcomes] = {}
    by_group: dict[str, list[GroupScore]] = {}
    for part, samples in scored.items():
        measured = measure(
            parts.network, parts.booster, samples, record.classes, record.config, device=device, flips=flips
        )
        labels[part] = measured.labels
        scores = dict(measured.scores)
        if coarse is not None:
            scores["group_accuracy"] = group_accuracy(measured.labels, record.classes, coarse)
            by_group[part] = group_scores(measured.labels, record.classes, coarse)
        rows += [_score_row(part, len(samples), name, score) for name, score in scores.items()]
        rows += _group_rows(part, by_group.get(part, []))
    if out is not None:
        write_tables(out, rows, labels, record.classes, by_group)
    return rows


def _unseen_parts(
    manifest: Manifest, data: Path, record: BundleRecord, known: dict[str, list[str]]
) -> dict[str, list[Sample]]:
    """The samples to score, by part; says how many are left out."""
    if unknown := sorted(set(manifest.classes) - set(record.classes)):
        raise DataError(
            f"`{data}` has classes that the bundle does not know ({', '.join(unknown[:5])}); its classes are:"
            f" {', '.join(record.classes[:20])}."
        )
    scored = unseen(manifest.samples, known)
    if not scored:
        raise DataError(f"`{data}` holds only images that the bundle was trained or chosen on; give images new to it.")
    if left_out := len(manifest.samples) - sum(map(len, scored.values())):
        log.warning("left out %d images: the bundle was trained or chosen on them", left_out)
    return scored


def _group_rows(part: str, scores: Sequence[GroupScore]) -> list[dict[str, Any]]:
    """Two rows for every group of several classes: of a single one there is nothing finer to tell."""
    rows = []
    for score in scores:
        if score.classes > 1:
            rows.append(_score_row(part, score.images, f"fine_accuracy/{score.group}", score.fine_accuracy))
            rows.append(_score_row(part, score.images, f"outer_errors/{score.group}", score.outer_errors))
    return rows


def _score_row(part: str, images: int, name: str, score: Score) -> dict[str, Any]:
    return {"part": part, "images": images, "metric": name} | asdict(score)
