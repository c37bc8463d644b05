"""The rows of the methods table, and their common settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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
# The share of all steps over which the learning rate rises, as published on CUB-200-2011 (5994
# images): PIM 800 of 50 epochs of 375 batches, HERBS 1500 of 80 epochs of 749 batches.
_WARMUP = {"pim": 800 / (50 * 375), "herbs": 1500 / (80 * 749)}


@dataclass(frozen=True)
class Place:
    """Settings that are equal for all methods on one data set.

    ``view`` has the fields of ``data`` for labels, ``mask_view`` those that differ for masks;
    ``segment_epochs`` are the epochs for masks, ``mask_config`` the fields in which the default
    differs there.
    """

    view: Mapping[str, Any]
    segment_epochs: int
    mask_view: Mapping[str, Any] = field(default_factory=dict)
    mask_config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Scale:
    """The sizes of networks, data and trainings."""

    encoder: str
    weights: str
    places: Mapping[str, Place]
    classify_epochs: int
    leaf_classes: int = 10
    leaves: int = 30
    leaf_size: int = 224
    seeds: int = 3
    peers: bool = True


# Vessels are three pixels wide at the tiles' native scale: squashing them to 224 pixels would break
# them, so that the default learns patches there.
_PATCHES = dict(recipe("default", "decoder").thin_view) | {"data.patches": 2}
_THIN = recipe("default", "decoder").thin_config
_WHOLE, _SMALL = {"data.size": 224}, {"data.size": 128}
CPU = Scale(
    "tf_efficientnet_lite0",
    "pretrained",
    {"uci_leaf": Place(_WHOLE, 4), "leaves": Place(_SMALL, 4), "hrf_vessels": Place(_WHOLE, 6, _PATCHES, _THIN)},
    8,
    leaf_size=128,
)
CUDA = Scale(
    "tf_efficientnet_lite0",
    "pretrained",
    {"uci_leaf": Place(_WHOLE, 20), "leaves": Place(_WHOLE, 20), "hrf_vessels": Place(_WHOLE, 60, _PATCHES, _THIN)},
    20,
)
QUICK = Scale(
    "test_resnet",
    "none",
    {"leaves": Place({"data.size": 32}, 1)},
    1,
    leaf_classes=2,
    leaves=8,
    leaf_size=32,
    seeds=1,
    peers=False,
)


@dataclass(frozen=True)
class Row:
    """One method at one task.

    ``training`` is ``own`` or ``default``: the recipe of optimiser, losses and augmentation.
    """

    task: str
    method: str
    training: str
    config: TrialConfig


def classifiers(scale: Scale, place: Place, *, images: int) -> list[Row]:
    """Return the rows of the default, of each paper's preset, and of its network alone.

    ``images`` is the number of training images: the learning rate of PIM and HERBS rises over the
    published share of all steps.
    """
    shared = _shared(scale, place.view) | {"train.epochs": scale.classify_epochs}
    default = resolve_auto(set_fields(recipe("default", "classifier").config, shared))
    rows = [Row("classify", "default", "own", default)]
    for name in _PAPERS:
        config = resolve_auto(set_fields(recipe(name, "classifier").config, shared))
        if config.plugin.width:
            steps = scale.classify_epochs * -(-images // config.train.batch_size)
            config = set_fields(config, _SMALL_PLUGIN | {"train.warmup_steps": round(_WARMUP[name] * steps)})
        rows.append(Row("classify", name, "own", config))
        rows.append(Row("classify", name, "default", _trained_as(default, config)))
    return rows


def decoders(scale: Scale, place: Place) -> list[Row]:
    """Return the rows of decoders on the default's frozen classifier.

    The presets come first, then every kind with the default's training.
    """
    shared = _shared(scale, {**place.view, **place.mask_view}) | {"train.epochs": place.segment_epochs}
    default = resolve_auto(set_fields(recipe("default", "decoder").config, shared | dict(place.mask_config)))
    rows = [Row("segment", "default", "own", default)]
    for name in _PAPER_DECODERS:
        config = set_fields(recipe(name, "decoder").config, shared)
        base = {"encoder": default.encoder, "gate": default.gate, "plugin": default.plugin, "data": default.data}
        rows.append(Row("segment", name, "own", config.model_copy(update=base)))
    for kind in _KINDS:
        plain = DecoderConfig(
            kind=kind,
            full_size=True,
            gate_from=1 if kind == "unet" else 6,
            tune_encoder=default.decoder.tune_encoder,
        )
        rows.append(Row("segment", kind, "default", default.model_copy(update={"decoder": plain})))
    return rows


def _trained_as(default: TrialConfig, paper: TrialConfig) -> TrialConfig:
    """Return the paper's network and losses with the default's optimiser, schedule and changes."""
    own: dict[str, Any] = {"mask_weight": paper.train.mask_weight, "plugin": paper.train.plugin}
    if paper.plugin.width:
        own |= {"head_start": "random", "wise_ft": False}
    network = {"gate": paper.gate, "plugin": paper.plugin}
    return default.model_copy(update=network | {"train": default.train.model_copy(update=own)})


def _shared(scale: Scale, view: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "encoder.name": scale.encoder,
        "encoder.weights": scale.weights,
        "encoder.frozen": False,
        "encoder.taps": "levels",
        "data.mean": "auto",
        "data.std": "auto",
        "data.interpolation": "auto",
        "data.fit": "squash",
        "data.zoom": 1.0,
    } | dict(view)
