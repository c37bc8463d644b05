"""Recipes by name: for each kind of study a config and the space around it."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..data.config import DataConfig
from ..errors import UsageError
from ..models.config import DecoderConfig, EncoderConfig, WidthsConfig
from ..trials.config import BoostConfig, TrainConfig, TrialConfig
from .booster import BOOSTER_SPACE, XMNET_BOOSTER_SPACE
from .classifier import CLASSIFIER_SPACE
from .decoder import DECODER_SPACE, MNSA_SPACE
from .space import Space

# XMNet section 5.1 and MNSA section 6.1 train the same classifier; densenet161's first eight children stay frozen.
_PAPER_TRAIN = TrainConfig(
    epochs=150, batch_size=32, optimizer="sgd", lr=0.05, weight_decay=5e-4, schedule="cosine", dice_weight=0.0
)
_PAPER = TrialConfig(
    encoder=EncoderConfig(name="densenet161", weights="pretrained", frozen_children=8),
    gate="meanmax",
    data=DataConfig(size=448, fit="crop", hflip=0.5),
    train=_PAPER_TRAIN,
)
_PAPER_SEGMENT = _PAPER_TRAIN.model_copy(update={"batch_size": 8})


@dataclass(frozen=True)
class Recipe:
    """A starting config, which is always trial 0, and the space searched around it."""

    config: TrialConfig
    space: Space


def _paper(decoder: DecoderConfig, space: Space) -> Recipe:
    return Recipe(_PAPER.model_copy(update={"decoder": decoder, "train": _PAPER_SEGMENT}), space)


# Measured from random weights on leaf species and on generated leaves (docs/results.md): small batches for many steps,
# mild geometry, hardly any jitter of colour (it drowns fine veins), and now and then a blanked background, without
# which the background's colour is what is learnt.
_DEFAULT = TrialConfig(
    data=DataConfig(size=128, vflip=0.5, rotate=15, min_area=0.6, colour=0.1, blank=0.3),
    train=TrainConfig(epochs=50),
)
_DEFAULT_SEGMENT = _DEFAULT.model_copy(
    update={
        "decoder": DecoderConfig(kind="mnsa", channels=32, full_size=True),
        "train": TrainConfig(epochs=20, lr=4e-3, dice_weight=1.0),
    }
)

PRESETS: Mapping[str, Mapping[str, Recipe]] = {
    "default": {
        "classifier": Recipe(_DEFAULT, CLASSIFIER_SPACE),
        "decoder": Recipe(_DEFAULT_SEGMENT, DECODER_SPACE),
        "booster": Recipe(_DEFAULT, BOOSTER_SPACE),
    },
    "xmnet": {
        "classifier": Recipe(_PAPER, Space()),
        "decoder": _paper(DecoderConfig(kind="unet", gate_from=1), Space()),
        "booster": Recipe(_PAPER.model_copy(update={"boost": BoostConfig(rounds=100)}), XMNET_BOOSTER_SPACE),
    },
    "mnsa": {
        "classifier": Recipe(_PAPER, Space()),
        "decoder": _paper(DecoderConfig(kind="mnsa", transfer=0.25, widths=WidthsConfig()), MNSA_SPACE),
    },
    # MGANet sections 4.2 and 4.4: the gate learns from the masks, and half of the pictures lose a rectangle.
    "mganet": {
        "classifier": Recipe(
            _PAPER.model_copy(
                update={
                    "data": _PAPER.data.model_copy(update={"erase": 0.5}),
                    "train": _PAPER_TRAIN.model_copy(update={"mask_weight": 0.1}),
                }
            ),
            Space(),
        ),
    },
}


def recipe(preset: str, kind: str) -> Recipe:
    """The recipe of ``preset`` for ``kind``; UsageError with the names that exist if there is none."""
    if preset not in PRESETS:
        raise UsageError(f"preset `{preset}` does not exist; the presets are: {', '.join(PRESETS)}.")
    recipes = PRESETS[preset]
    if kind not in recipes:
        having = [name for name, kinds in PRESETS.items() if kind in kinds]
        raise UsageError(f"preset `{preset}` has no recipe for kind `{kind}`; these have: {', '.join(having)}.")
    return recipes[kind]
