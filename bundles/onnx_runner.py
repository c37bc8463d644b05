"""Run a bundle's graphs with onnxruntime: a predictor without torch.

Shapes: B batch, N classes, C features, K maps of masks, H W the input, h w a map of it.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import UsageError, UserError
from ..trials.flips import Flip
from ..trials.runner import Array, Outputs
from .compact import Precision
from .onnx_process import Graph
from .record import RECORD, BundleRecord, graph_name

# Smallest probability of a mask, and of its complement, whose logit float32 still tells apart.
_LEAST = 1e-7


class LoadedGraph(Protocol):
    """An ONNX graph that is ready to run; see ``onnx_process.Graph``."""

    @property
    def any_size(self) -> bool:
        """Whether the input's height and width are free."""

    def run(self, values: Array) -> dict[str, Array]:
        """Return the outputs by name."""


# Loads a file for a number of threads.
OpenGraph = Callable[[Path, int], LoadedGraph]


class OnnxRunner:
    """The graphs of a bundle in one ``precision``, on the CPU; see ``Runner``.

    ``open_graph`` decides what runs them. They draw no heat maps or positions.
    """

    draws_heat = False

    def __init__(
        self, folder: Path, record: BundleRecord, *, precision: Precision = "fp32", open_graph: OpenGraph = Graph
    ) -> None:
        self.num_classes = len(record.classes)
        self.mask_classes = record.config.decoder.classes
        self.has_masks = record.config.decoder.kind != "none"
        self.selects = False
        labels, *masks = (open_graph(folder / graph_name(graph, precision), threads()) for graph in record.graphs)
        self._labels, self._masks = labels, masks[0] if masks else labels
        views = ((self._labels, record.config.data), (self._masks, record.mask_view))
        if any(view.fit == "whole" and not graph.any_size for graph, view in views):
            raise UsageError(
                "the bundle predicts whole images at their own size, and its ONNX graph, of an earlier version, takes"
                " one size: use --runner torch, or export the bundle again."
            )
        self._mask_maps = len(self.mask_classes) + 1 if self.mask_classes else 1

    def run(
        self, x_BCHW: Array, *, flips: tuple[Flip, ...], segment: bool, heat: bool = False, kept: bool = False
    ) -> Outputs:
        """Run the graph once for each flip; a graph of masks alone finds all classes equal."""
        if heat or kept:
            raise UsageError("heat maps and selected positions need torch: use the runner `torch`.")
        segment = segment and self.has_masks
        graph = self._masks if segment else self._labels
        found = [graph.run(np.ascontiguousarray(np.flip(x_BCHW, flip)) if flip else x_BCHW) for flip in flips]
        equal_BN = np.full((len(x_BCHW), self.num_classes), 1 / self.num_classes, np.float32)
        masks = []
        for flip, outputs in zip(flips, found, strict=True):
            if segment:
                name = "mask_logits" if "mask_logits" in outputs else "mask"
                maps_BKhw = self._part(outputs, name, (self._mask_maps, None, None))
                logits_BKhw = maps_BKhw if name == "mask_logits" else mask_logits(maps_BKhw)
                masks.append(np.flip(logits_BKhw, flip) if flip else logits_BKhw)
        alone = graph is not self._labels
        parts = [equal_BN] if alone else [self._part(each, "probabilities", (self.num_classes,)) for each in found]
        none_BC = np.empty((len(x_BCHW), 0), np.float32)
        features = tuple(none_BC if alone else self._part(each, "features", (None,)) for each in found)
        return Outputs(_mean(parts), features, _mean(masks) if masks else None)

    def _part(self, outputs: dict[str, Array], name: str, shape: tuple[int | None, ...]) -> Array:
        """Return an output; UserError if the graph lacks it, or it does not fit the record."""
        part = outputs.get(name)
        if part is None or part.ndim != 1 + len(shape):
            raise UserError(f"the ONNX graph has no {name} of a network of {RECORD}: export the bundle again.")
        if any(wanted not in (None, size) for wanted, size in zip(shape, part.shape[1:], strict=True)):
            raise UserError(f"{name} of the ONNX graph do not fit the classes of {RECORD}: export the bundle again.")
        return part


class OnnxBooster:
    """A booster as an ONNX graph: features to class probabilities, with their standardisation."""

    def __init__(self, path: Path) -> None:
        self._graph = Graph(path, threads())

    def predict(self, x_NC: Array) -> Array:
        """Return class probabilities ``(N, K)``. Raises UserError if they are not finite."""
        probability_NK = self._graph.run(x_NC.astype(np.float32, copy=False))["probabilities"]
        if not np.isfinite(probability_NK).all():
            raise UserError("the booster's probabilities are not finite: an image or its file is damaged or forged")
        return probability_NK


def mask_logits(probability_BKhw: Array) -> Array:
    """Return the logits of mask probabilities, up to a constant at each pixel.

    Graphs of version 0.2 and earlier have no logits; those of very sure pixels are cut.
    Of one map it is the log-odds; of several the logarithm, whose order is that of the logits.
    """
    share = np.clip(probability_BKhw, _LEAST, 1 - _LEAST)
    return np.log(share) - np.log1p(-share) if share.shape[1] == 1 else np.log(share)


def threads() -> int:
    """Return the number of threads of a graph: OMP_NUM_THREADS, or all cores."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return (
        int(given)
        if given.isdigit() and int(given)
        else len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else 0
    )


def _mean(parts: list[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.mean(parts, axis=0, dtype=np.float32)
