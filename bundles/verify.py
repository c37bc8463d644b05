"""Verify a bundle: hashes, shapes, and agreement of torch, ONNX and the stored samples."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import UserError
from .bundle import open_verified
from .compact import LowPrecision
from .load_network import LoadedBundle, load_parts
from .onnx_model import RunGraph, run_onnx
from .onnx_process import run_apart, run_here
from .record import BOOSTER_ONNX, ONNX, BundleRecord, graph_name
from .samples import Answers, answer_samples, mask_shares, read_expected
from .scoring import read_image_hashes

# Largest absolute difference of a probability between torch, ONNX and the stored samples.
TOLERANCE = 1e-4
# With a combiner that learned the meaning of ranks, rounding may swap two neighbouring ranks.
RANK_TOLERANCE = 1e-2
# The same for the pixels of a mask and for the share of pixels in the mask.
MASK_TOLERANCE = 1e-3
# Above what was measured at export: processors round the sums of int8 in their own ways.
COMPACT_MARGIN = 0.05


def check_bundle(bundle: Path) -> dict[str, Any]:
    """Verify a bundle and return the comparisons. Raises UserError with the first failure."""
    with open_verified(bundle) as (folder, record):
        read_image_hashes(folder, record)
        return {"bundle": str(bundle), "files": len(record.files)} | compare(
            folder, load_parts(folder, record), run=run_apart
        )


def compare(folder: Path, parts: LoadedBundle, *, run: RunGraph = run_here) -> dict[str, Any]:
    """Return the largest differences between torch, the stored samples and ONNX.

    ``run`` runs a graph. With a booster, the network's own head is compared too, which heat maps
    and the scores ``head_*`` use. Raises UserError above the tolerance.
    """
    expected = read_expected(folder)
    answers = answer_samples(folder, parts, list(expected))
    label_BCHW, mask_BCHW, head_BK, probability_BK, mask_BKHW = answers
    onnx = run_onnx(folder / ONNX, label_BCHW, run=run)
    if mask_BKHW is not None and mask_BCHW is not label_BCHW:
        onnx["mask"] = run_onnx(folder / parts.record.mask_graph, mask_BCHW, needed=("mask",), run=run)["mask"]
    onnx_BK = onnx["probabilities"] if parts.booster is None else parts.booster.predict(onnx["features"])
    found = {
        "samples_difference": _difference(probability_BK, [sample.probabilities for sample in expected.values()]),
        "onnx_difference": _difference(probability_BK, onnx_BK),
    }
    if parts.booster is not None:
        found["onnx_head_difference"] = _difference(head_BK, onnx["probabilities"])
    if BOOSTER_ONNX in parts.record.files:
        graph_BK = run_onnx(folder / BOOSTER_ONNX, onnx["features"], needed=("probabilities",), run=run)[
            "probabilities"
        ]
        found["onnx_booster_difference"] = _difference(probability_BK, graph_BK)
    if mask_BKHW is not None:
        shares = [np.nan if sample.mask_share is None else sample.mask_share for sample in expected.values()]
        found["samples_mask_difference"] = _difference(mask_shares(mask_BKHW), shares)
        found["onnx_mask_difference"] = _difference(mask_BKHW, onnx.get("mask", []))
    for name, difference in found.items():
        tolerance = MASK_TOLERANCE if "mask" in name else probability_tolerance(parts.record)
        if not difference <= tolerance:
            raise UserError(
                f"the bundle disagrees with itself: {name} {difference:.2e} is above {tolerance:g}; export it again."
            )
    for low in parts.record.compact:
        repeated = compact_differences(folder, parts.record, low.precision, answers, run=run)
        for name, difference in repeated.items():
            recorded = getattr(low, name)
            if recorded is None or not difference <= recorded + COMPACT_MARGIN:
                raise UserError(
                    f"{graph_name(ONNX, low.precision)} is not the graph that was measured: {name} {difference:.2e} is"
                    f" above the recorded {recorded}; export the bundle again."
                )
            found[f"{low.precision}_{name}"] = difference
    return {"samples": len(expected)} | found


def compact_differences(
    folder: Path, record: BundleRecord, precision: LowPrecision, answers: Answers, *, run: RunGraph = run_here
) -> dict[str, float]:
    """Return how far the graphs of ``precision`` are from the bundle's answers for its samples.

    These are the largest difference of a probability, and the mean one of a mask.
    """
    onnx = run_onnx(folder / graph_name(ONNX, precision), answers.label_BCHW, run=run)
    if record.has_booster:
        onnx |= run_onnx(folder / BOOSTER_ONNX, onnx["features"], needed=("probabilities",), run=run)
    found = {"samples_difference": _difference(answers.probability_BK, onnx["probabilities"])}
    if answers.mask_BKHW is not None:
        if record.mask_graph != ONNX:
            graph = folder / graph_name(record.mask_graph, precision)
            onnx |= run_onnx(graph, answers.mask_BCHW, needed=("mask",), run=run)
        elif answers.mask_BCHW is not answers.label_BCHW:
            onnx |= run_onnx(folder / graph_name(ONNX, precision), answers.mask_BCHW, needed=("mask",), run=run)
        found["samples_mask_difference"] = _difference(answers.mask_BKHW, onnx.get("mask", []), np.mean)
    return found


def probability_tolerance(record: BundleRecord) -> float:
    """Return the largest difference of a probability between two ways to compute it."""
    configs = (record.config, *(member.config for member in record.members))
    ranked = any(config.plugin.width and config.plugin.ranks == "learned" for config in configs)
    return RANK_TOLERANCE if ranked else TOLERANCE


def _difference(a: ArrayLike, b: ArrayLike, reduce: Callable[[np.ndarray], Any] = np.max) -> float:
    """Return the largest absolute difference, or another; infinite if the shapes differ."""
    try:
        first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    except ValueError:
        return float("inf")
    return float(reduce(np.abs(first - second))) if first.shape == second.shape else float("inf")
