"""Sections about a bundle, from its record and its files alone."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, TypeAdapter
from safetensors import SafetensorError, safe_open

from ..bundles.record import FOLDS, ONNX, SAMPLES, WEIGHTS, BundleRecord, Interval
from ..data.images import read_image
from ..data.pixels import shown
from ..errors import DataError, UserError
from ..trials.background import relies_on_background
from ..wording import counted
from .drawing import PLAIN, Canvas, Drawing
from .names import capital, metric_name
from .page import Section, thumbnail, tile

_SIDE = 160
# The metrics of the figure of scores: shares from 0 to 1, for which higher is better.
_SHARES = ("accuracy", "accuracy_blanked", "top3", "top5", "macro_f1", "iou", "dice", "iou_image", "dice_image")


class _Sample(BaseModel):
    probabilities: list[float]


_EXPECTED = TypeAdapter(dict[str, _Sample])


def scored_part(record: BundleRecord) -> str:
    """Return the part of the images whose scores count: the test split, or those of the folds."""
    return "test" if record.cross_validation is None else FOLDS


def bundle_summary(record: BundleRecord) -> Section:
    """Return what the bundle does and how well, in sentences."""
    section = Section("summary", "Summary")
    config, part = record.config, scored_part(record)
    task = "classifies images" + (" and segments them" if config.decoder.kind != "none" else "")
    size = " x ".join(map(str, config.data.size_HW))
    points = [f"It {task}: {len(record.classes)} classes, {config.encoder.name} at {size} pixels."]
    for row in record.score_rows():
        if row["part"] == part and row["metric"] in ("accuracy", "iou"):
            found = interval_text(record.metrics[part][row["metric"]])
            points.append(
                f"{capital(metric_name(row['metric']))} {found} on {counted(row['images'], 'image')}{_OF_WHAT[part]}."
            )
    if record.versus_probe is not None:
        points.append(f"{capital(record.versus_probe.sentence())}.")
    if words := leak_sentence(record):
        points.append(words)
    section.points(points)
    return section


def scores_section(record: BundleRecord) -> Section:
    """Return all stored scores with their intervals."""
    section = Section("scores", "Scores")
    if not record.metrics:
        section.note("The bundle stores no scores: `venation evaluate` scores it on labelled images.")
        return section
    section.figure(_score_figure(record))
    rows = [
        {
            "images": f"{row['images']} ({row['part']})",
            "metric": metric_name(row["metric"]),
            "value": f"{row['value']:.4f}",
            "95 % interval": f"{row['low']:.4f} to {row['high']:.4f}",
        }
        for row in sorted(record.score_rows(), key=lambda row: row["part"] != scored_part(record))
    ]
    section.table(rows, label="Scores")
    return section


def leak_section(record: BundleRecord) -> Section:
    """Return the accuracy with the background blanked, if the bundle stores it."""
    section = Section("leaks", "Leak check")
    words = leak_sentence(record)
    if words:
        section.text(words)
    else:
        section.note("The background was not blanked: the images had no masks, or were not scored.")
    return section


def leak_sentence(record: BundleRecord) -> str:
    """Return what blanking the background does to the accuracy; nothing if it is not known.

    The two accuracies are of the same images, and their intervals do not say so: where these
    overlap, no claim is made.
    """
    scores = record.metrics.get(scored_part(record), {})
    if "accuracy" not in scores or "accuracy_blanked" not in scores:
        return ""
    whole, blanked = scores["accuracy"], scores["accuracy_blanked"]
    numbers = f"{interval_text(whole)} with the background, {interval_text(blanked)} with it blanked by the masks"
    if relies_on_background(whole, blanked):
        return f"Accuracy falls without the background: {numbers}. The network uses it."
    if blanked.low > whole.high:
        return f"Accuracy rises without the background: {numbers}. It distracts the network."
    return f"No clear sign that the network uses the background: accuracy {numbers}."


def samples_section(folder: Path, record: BundleRecord) -> Section:
    """Return the sample images of the bundle with the answers that it must give."""
    section = Section("samples", "Stored samples")
    section.text("Images in the bundle, with the answers that `venation bundle check` expects.")
    try:
        expected = _EXPECTED.validate_json((folder / SAMPLES / "expected.json").read_bytes())
        tiles = [
            _sample_tile(folder / SAMPLES / Path(name).name, sample.probabilities, record)
            for name, sample in sorted(expected.items())
        ]
    except (OSError, ValueError, LookupError, DataError) as error:
        section.note(f"The stored samples cannot be read ({type(error).__name__}): see `venation bundle check`.")
        return section
    section.pictures(tiles)
    return section


def _sample_tile(path: Path, probabilities: list[float], record: BundleRecord) -> str:
    best = int(np.argmax(probabilities))
    caption = f"{record.classes[best]}, probability {probabilities[best]:.2f}"
    return tile(thumbnail(shown(read_image(path, record.config.data)), _SIDE), caption)


def files_section(folder: Path, record: BundleRecord) -> Section:
    """Return the files with their sizes, and the number of parameters."""
    section = Section("cost", "Cost")
    sizes = {name: (folder / name).stat().st_size for name in record.files}
    parameters = num_parameters(folder / WEIGHTS)
    section.text(f"{parameters:,} parameters; {sum(sizes.values()) / 2**20:.1f} MiB in {len(sizes)} files.")
    rows = [{"file": name, "MiB": round(size / 2**20, 2)} for name, size in sizes.items() if name in (WEIGHTS, ONNX)]
    section.table(rows, label="Files")
    return section


def num_parameters(weights: Path) -> int:
    """Return the number of values in a safetensors file, from its header alone.

    Raises UserError for a file of another format.
    """
    try:
        with safe_open(weights, framework="numpy") as file:
            return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())
    except SafetensorError as error:
        raise UserError(f"{weights.name} cannot be read ({error}); export the bundle again.") from None


def origin_section(record: BundleRecord) -> Section:
    """Return the trials, the data and the versions that the bundle comes from."""
    section = Section("provenance", "Provenance")
    found = record.provenance
    rows: dict[str, Any] = {
        **{f"{s.kind}": f"trial {s.trial} of study {s.study}, {s.objective} {s.value:.4f}" for s in record.sources},
        "ensemble": f"{len(record.members)} networks" if record.members else None,
        "images": ", ".join(f"{name} {count}" for name, count in record.images.items()),
        "fingerprint of the data": record.data_fingerprint,
        "split": ", ".join(f"{name} {value}" for name, value in record.split.model_dump().items()),
        "licence": record.licence,
        "machine": ", ".join(str(found[name]) for name in ("hostname", "platform", "device") if name in found),
        "versions": ", ".join(f"{name} {version}" for name, version in found.get("versions", {}).items()),
        "commit": found.get("commit"),
        "sha256 of the record": record.record_sha256,
    }
    section.table([{"what": k, "value": str(v)} for k, v in rows.items() if v], label="Provenance")
    section.folded("Config", json.dumps(record.config.model_dump(mode="json"), indent=2))
    return section


def interval_text(score: Interval) -> str:
    """Return a score with its interval."""
    return f"{score.value:.3f} ({score.low:.3f} to {score.high:.3f})"


def _score_figure(record: BundleRecord) -> Drawing:
    part = scored_part(record)
    found = record.metrics.get(part, {})
    scores = {name: found[name] for name in _SHARES if name in found}
    canvas = Canvas(height=1.0 + 0.3 * len(scores))
    axes = canvas.axes
    for place, score in enumerate(scores.values()):
        axes.plot([score.low, score.high], [place, place], color=PLAIN, linewidth=2)
        axes.plot(score.value, place, "o", color=PLAIN)
    axes.set_yticks(range(len(scores)), [metric_name(name) for name in scores])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.02)
    alt = ", ".join(f"{metric_name(name)} {interval_text(score)}" for name, score in scores.items())
    return canvas.finish("scores", f"Scores with 95 % intervals, images{_OF_WHAT[part]}", f"{capital(alt)}.")


_OF_WHAT = {"test": " of the sealed test split", FOLDS: ", cross-validated"}
