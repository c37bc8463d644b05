"""The rows of the methods table, and their common settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from venation.models.network_config import DecoderConfig, DecoderKind
from venation.spaces.fields import set_fields
from venation.spaces.presets import recipe
from venation.trials.auto_fields import resolve_auto
from venation.trials.trial_config import TrialConfig

# The presets' modules at sizes that a small encoder's levels can fill (pim and herbs: width 1536,
# 32 or 64 positions per node).
_SMALL_PLUGIN = {"plugin.width": 256, "plugin.joint": 8}
_PAPERS = ("mganet", "xmnet", "pim", "herbs")
# Decoders whose preset has a training recipe.
_PAPER_DECODERS = ("xmnet", "mnsa")
# Every decoder again with the default's training, so that only the decoder differs.
_KINDS = [kind for kind in get_args(DecoderKind) if kind != "none"]


@dataclass(frozen=True)
class Place:
    """Settings that are equal for all methods on one data set.

    ``size`` is pixels per side, ``fit`` how images are fitted, ``segment_epochs`` the epochs for
    masks.
    """

    size: int
    segment_epochs: int
    fit: str = "squash"


@dataclass(frozen=True)
class Scale:
    """The sizes of networks, data and trainings."""

    encoder: str
    places: Mapping[str, Place]
    classify_epochs: int
    leaf_classes: int = 10
    leaves: int = 30
    seeds: int = 3


# Vessels are a pixel wide at the tiles' native scale; squashing to 96 pixels would erase them, so
# tiles are cropped.
CPU = Scale("resnet10t", {"leaves": Place(64, 3), "hrf_vessels": Place(96, 10, "crop"), "uci_leaf": Place(64, 3)}, 20)
CUDA = Scale(
    "resnet50", {"leaves": Place(384, 20), "hrf_vessels": Place(384, 60, "crop"), "uci_leaf": Place(384, 20)}, 60
)
QUICK = Scale("test_resnet", {"leaves": Place(32, 1)}, 1, leaf_classes=2, leaves=8, seeds=1)


@dataclass(frozen=True)
class Row:
    """One method at one task.

    ``training`` is ``own`` or ``default``: the recipe of optimiser, losses and augmentation.
    """

    task: str
    method: str
    training: str
    config: TrialConfig


def classifiers(scale: Scale, place: Place) -> list[Row]:
    """Return the rows of the default and of each paper's preset."""
    shared = _shared(scale, place) | {"train.epochs": scale.classify_epochs}
    rows = []
    for name in ("default", *_PAPERS):
        config = resolve_auto(set_fields(recipe(name, "classifier").config, shared))
        if config.plugin.width:
            config = set_fields(config, _SMALL_PLUGIN)
        rows.append(Row("classify", name, "own", config))
    return rows


def decoders(scale: Scale, place: Place) -> list[Row]:
    """Return the rows of decoders on the default's frozen classifier.

    The presets come first, then every kind with the default's training.
    """
    shared = _shared(scale, place) | {"train.epochs": place.segment_epochs, "data.blank": 0.0}
    default = resolve_auto(set_fields(recipe("default", "decoder").config, shared))
    rows = [Row("segment", "default", "own", default)]
    for name in _PAPER_DECODERS:
        config = set_fields(recipe(name, "decoder").config, shared)
        base = {"encoder": default.encoder, "gate": default.gate, "plugin": default.plugin, "data": default.data}
        rows.append(Row("segment", name, "own", config.model_copy(update=base)))
    # The effect of the refinement head, which alone reads the image, on the default and on a
    # decoder of the library.
    bare = set_fields(default, {"decoder.detail": 0})
    rows.append(Row("segment", "default without detail", "default", bare))
    library = DecoderConfig(kind="smp_unet", full_size=True, detail=default.decoder.detail)
    rows.append(Row("segment", "smp_unet with detail", "default", default.model_copy(update={"decoder": library})))
    for kind in _KINDS:
        plain = DecoderConfig(kind=kind, full_size=True, gate_from=1 if kind == "unet" else 6)
        rows.append(Row("segment", kind, "default", default.model_copy(update={"decoder": plain})))
    return rows


def _shared(scale: Scale, place: Place) -> dict[str, Any]:
    return {
        "encoder.name": scale.encoder,
        "encoder.weights": "none",
        "encoder.frozen": False,
        "encoder.frozen_children": 0,
        "encoder.taps": "levels",
        "data.size": place.size,
        "data.fit": place.fit,
    } | ({} if place.fit == "squash" else {"data.zoom": 1.0})
