"""What the table of methods compares: the rows, and what all of them share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from venation.models.config import DecoderKind
from venation.spaces.presets import recipe
from venation.trials.config import TrialConfig
from venation.trials.fields import set_fields

# The presets' modules at widths and groups that a small encoder's levels can fill (pim and herbs: 1536 and 32 or 64).
_SMALL_PLUGIN = {"plugin.width": 256, "plugin.joint": 8}
_PAPERS = ("mganet", "xmnet", "pim", "herbs")
# Decoders that a preset brings with a training recipe of its own.
_PAPER_DECODERS = ("xmnet", "mnsa")
# Decoders under the default's training; xmnet's and mnsa's once more, so that nothing but the decoder differs.
_KINDS = {"unet": "unet", "mnsa_exact": "mnsa"} | {
    kind: kind for kind in get_args(DecoderKind) if kind not in ("none", "unet", "mnsa")
}
_LEARNING_RATES = (1e-3, 4e-3)


@dataclass(frozen=True)
class Scale:
    """How large everything is: images of ``sizes`` pixels a side by set, leaves drawn so large, epochs by task."""

    encoder: str
    sizes: Mapping[str, int]
    classify_epochs: int
    segment_epochs: int
    leaf_classes: int = 6
    leaves: int = 50
    seeds: int = 3


CPU = Scale("resnet10t", {"uci_leaf": 64, "hrf_vessels": 96, "leaves": 64}, classify_epochs=20, segment_epochs=8)
CUDA = Scale("resnet50", dict.fromkeys(("uci_leaf", "hrf_vessels", "leaves"), 384), 60, 20, leaves=80)
QUICK = Scale("test_resnet", {"leaves": 32}, 1, 1, leaf_classes=2, leaves=8, seeds=1)


@dataclass(frozen=True)
class Row:
    """One method at one task. ``training`` says whose optimiser, schedule and augmentation it has.

    ``configs`` are alternatives: the best on the validation part, at the first seed, is the row's.
    """

    task: str
    method: str
    training: str
    configs: tuple[TrialConfig, ...]


def classifiers(scale: Scale, size: int) -> list[Row]:
    """The default; each paper's preset as it is; each paper's network and losses in the default's training."""
    shared = _shared(scale, size) | {"train.epochs": scale.classify_epochs}
    default = set_fields(recipe("default", "classifier").config, shared)
    rows = [Row("classify", "default", "default", (default,))]
    for name in _PAPERS:
        config = set_fields(recipe(name, "classifier").config, shared)
        if config.plugin.width:
            config = set_fields(config, _SMALL_PLUGIN)
        rows.append(Row("classify", name, "own", (config,)))
        rows.append(Row("classify", name, "default", (_retrained(config, default),)))
    return rows


def _retrained(config: TrialConfig, default: TrialConfig) -> TrialConfig:
    """The network and the losses of ``config`` with everything else of ``default``."""
    losses = {"mask_weight": config.train.mask_weight, "plugin": config.train.plugin}
    parts = {"gate": config.gate, "plugin": config.plugin, "train": default.train.model_copy(update=losses)}
    return default.model_copy(update=parts)


def decoders(scale: Scale, size: int) -> list[Row]:
    """Decoders on the frozen classifier of the default."""
    shared = _shared(scale, size) | {"train.epochs": scale.segment_epochs, "data.blank": 0.0}
    default = set_fields(recipe("default", "decoder").config, shared)
    rows = [Row("segment", "default", "default", _alternatives(default))]
    for name in _PAPER_DECODERS:
        config = set_fields(recipe(name, "decoder").config, shared)
        rows.append(Row("segment", name, "own", (_on(default, config),)))
    for name, kind in _KINDS.items():
        plain: dict[str, Any] = {"kind": kind, "full_size": True, "gate_from": 1 if kind == "unet" else 6}
        config = default.model_copy(update={"decoder": type(default.decoder)(**plain)})
        rows.append(Row("segment", name, "default", _alternatives(config)))
    return rows


def _alternatives(config: TrialConfig) -> tuple[TrialConfig, ...]:
    rates = sorted({config.train.lr, *_LEARNING_RATES})
    return tuple(set_fields(config, {"train.lr": rate}) for rate in rates)


def _on(base: TrialConfig, config: TrialConfig) -> TrialConfig:
    """``config`` with the base's encoder, gate and plug-in module."""
    return config.model_copy(update={"encoder": base.encoder, "gate": base.gate, "plugin": base.plugin})


def _shared(scale: Scale, size: int) -> dict[str, Any]:
    return {
        "encoder.name": scale.encoder,
        "encoder.weights": "none",
        "encoder.frozen": False,
        "encoder.frozen_children": 0,
        "encoder.taps": "levels",
        "data.size": size,
        "data.fit": "squash",
    }
