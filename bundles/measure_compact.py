"""Measure a bundle's graphs in a lower precision against those in fp32, in onnxruntime.

Shapes: I images.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data.images import read_image
from ..data.manifest import Sample, evenly_spaced
from ..errors import UserError
from ..models.finite import require_finite
from ..trials.image_predictor import ImagePredictor
from ..trials.mask_metrics import iou
from .compact import Compact, LowPrecision
from .compact_graphs import CALIBRATION, write_compact
from .image_masks import mask_outcomes, mask_pixels
from .load_network import LoadedBundle
from .open_predictor import graph_predictor
from .record import graph_name
from .samples import answer_samples, sample_names
from .verify import compact_differences

# Images of a timed batch, and how often each precision takes its turn; the best turn counts.
_BATCH, _TURNS = 16, 3


def add_compact(
    folder: Path, parts: LoadedBundle, precision: LowPrecision, *, train: Sequence[Sample], val: Sequence[Sample]
) -> Compact:
    """Write the graphs of a bundle's ``folder`` in ``precision`` too, and return their figures.

    The folder has its graphs in fp32 and its samples. ``train`` fixes the ranges of int8, ``val``
    scores. Raises UserError if a graph cannot be converted, loaded, or gives no finite number.
    """
    chosen = evenly_spaced(train, CALIBRATION)
    write_compact(folder, parts.record, precision, [sample.image for sample in chosen])
    full = graph_predictor(folder, parts.record, precision="fp32")
    try:
        low = graph_predictor(folder, parts.record, precision=precision)
        scores = _scores(full, low, val)
        answers = answer_samples(folder, parts, sample_names(folder))
        differences: dict[str, Any] = compact_differences(folder, parts.record, precision, answers)
        require_finite({name: np.float64(found) for name, found in differences.items()}, precision)
    except UserError as error:
        raise UserError(f"{precision} cannot be used ({error}): export without --precision {precision}.") from None
    speed_fp32, speed = _speeds(full, low, val)
    graphs = parts.record.graphs
    return Compact(
        precision=precision,
        images=len(val),
        **scores,
        speed=speed,
        speed_fp32=speed_fp32,
        bytes=sum((folder / graph_name(graph, precision)).stat().st_size for graph in graphs),
        bytes_fp32=sum((folder / graph).stat().st_size for graph in graphs),
        calibration=len(chosen) if precision == "int8" else 0,
        **differences,
    )


def _scores(full: ImagePredictor, low: ImagePredictor, samples: Sequence[Sample]) -> dict[str, Any]:
    """Return the scores of both predictors on labelled images, and how far they agree."""
    right_I2: list[tuple[bool, bool]] = []
    same_I, difference_I = [], []
    pixels: tuple[list[list[list[int]]], ...] = ([], [])
    paths = [sample.image for sample in samples]
    for sample, one, other in zip(samples, full.predict(paths), low.predict(paths), strict=True):
        right_I2.append((one.label == sample.label, other.label == sample.label))
        same_I.append(one.label == other.label)
        difference_I.append(max(abs(share - other.probabilities[name]) for name, share in one.probabilities.items()))
        if sample.mask is not None and one.mask is not None:
            for rows, prediction in zip(pixels, (one, other), strict=True):
                rows.append(mask_pixels(sample, prediction))
    accuracy_fp32, accuracy = np.mean(right_I2, axis=0)
    found: dict[str, Any] = {"accuracy": float(accuracy), "accuracy_fp32": float(accuracy_fp32)}
    if pixels[0]:
        ious = [float(iou(mask_outcomes(rows, full.runner.mask_classes))) for rows in pixels]
        if np.isfinite(ious).all():  # NaN: no mask has a pixel of the structure
            found["iou_fp32"], found["iou"] = ious
    return found | {"equal_labels": float(np.mean(same_I)), "largest_difference": max(difference_I)}


def _speeds(full: ImagePredictor, low: ImagePredictor, samples: Sequence[Sample]) -> tuple[float, float]:
    """Return the images per second of both, from decoded images to masks; they take turns."""
    chosen = evenly_spaced(samples, full.images_at_once(_BATCH))
    images = [(sample.image, read_image(sample.image, full.config)) for sample in chosen]
    seconds = np.array([[_seconds(predictor, images) for predictor in (full, low)] for _ in range(_TURNS)])
    full_s, low_s = seconds.min(axis=0)
    return len(images) / float(full_s), len(images) / float(low_s)


def _seconds(predictor: ImagePredictor, images: Sequence[tuple[Path, np.ndarray]]) -> float:
    started = time.perf_counter()
    predictor.predict_batch(images)
    return time.perf_counter() - started
