"""Presets: for each kind of study a config and the space around it, by name."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..data.data_config import DataConfig
from ..errors import UsageError
from ..models.network_config import DecoderConfig, EncoderConfig, PluginConfig, WidthsConfig
from ..trials.kinds import Kind
from ..trials.trial_config import BoostConfig, PluginLossConfig, TrainConfig, TrialConfig
from .booster import BOOSTER_SPACE, XMNET_BOOSTER_SPACE
from .classifier import CLASSIFIER_SPACE, FROZEN_SPACE
from .decoder import DECODER_SPACE, MNSA_SPACE
from .multitask import MNSA_MULTITASK_SPACE, MULTITASK_SPACE, XMNET_MULTITASK_SPACE
from .space import Scalar, Space

# XMNet section 5.1 and MNSA section 6.1 train the same classifier. densenet161's first eight
# children stay frozen, six of a resnet; their BatchNorm statistics drift, as in the papers' code
# (section 3.3).
_PAPER_TRAIN = TrainConfig(
    epochs=150, batch_size=32, optimizer="sgd", lr=0.05, weight_decay=5e-4, schedule="cosine", dice_weight=0.0
)
_PAPER = TrialConfig(
    encoder=EncoderConfig(name="densenet161", weights="pretrained", frozen_children="auto", frozen_bn_eval=False),
    gate="meanmax",
    data=DataConfig(size=448, fit="crop", hflip=0.5),
    train=_PAPER_TRAIN,
)
_PAPER_SEGMENT = _PAPER_TRAIN.model_copy(update={"batch_size": 8})

# The three trials of MNSA's own search, which are fixed by its seed (section 6.4).
_MNSA_TRIALS = (
    WidthsConfig(deform3=1 / 8, deform5=1 / 16, atrous2=1 / 4, atrous3=1 / 4, meanmax=1 / 8),
    WidthsConfig(deform3=1 / 16, deform5=1 / 4, atrous2=1 / 16, atrous3=1 / 8, meanmax=1 / 4),
    WidthsConfig(deform3=1 / 4, deform5=1 / 8, atrous2=1 / 8, atrous3=1 / 8, meanmax=1 / 8),
)


@dataclass(frozen=True)
class Recipe:
    """A starting config, which is always trial 0, the space around it, and further first trials.

    Each entry of ``starts`` names the fields in which it differs from the config. ``thin_view`` has
    the fields of ``data`` in which a decoder study differs from its base, if the view of the base
    shrinks the structure until it is hardly visible, and ``thin_config`` the other fields that then
    differ from the config.
    """

    config: TrialConfig
    space: Space
    starts: tuple[Mapping[str, Scalar], ...] = ()
    thin_view: Mapping[str, Scalar] = field(default_factory=dict)
    thin_config: Mapping[str, Scalar] = field(default_factory=dict)


def _paper(decoder: DecoderConfig, space: Space, *, starts: tuple[WidthsConfig, ...] = ()) -> Recipe:
    config = _PAPER.model_copy(update={"decoder": decoder, "train": _PAPER_SEGMENT})
    points = ({f"decoder.widths.{branch}": width for branch, width in widths} for widths in starts)
    return Recipe(config, space, starts=tuple(points))


# The encoder comes with an installed package, so that no hub is needed, and its normalisation and
# interpolation are those that it was pretrained with. The head starts as the linear probe and
# BatchNorm keeps its statistics. Eight epochs at this rate learn more than at a tenth of it where
# the probe is not enough (generated leaves, ten species), and forget more where it is (thirty
# species); mixes with the weights at the start keep the best of both. Some backgrounds are blanked,
# because the network otherwise learns the background's colour. The space varies what depends on the
# data.
_OWN_VIEW = DataConfig(size=224, mean="auto", std="auto", interpolation="auto")
_DEFAULT = TrialConfig(
    encoder=EncoderConfig(name="tf_efficientnet_lite0", weights="pretrained"),
    gate="none",
    data=_OWN_VIEW.model_copy(update={"blank": 0.3}),
    train=TrainConfig(epochs=8, batch_size=16, lr=5e-4, frozen_bn="auto", head_start="auto", wise_ft="auto"),
)
_DEFAULT_SEGMENT = _DEFAULT.model_copy(
    update={
        "data": _OWN_VIEW,
        "decoder": DecoderConfig(kind="mnsa", channels=32, full_size=True, detail=16),
        "train": TrainConfig(epochs=20, batch_size=4, lr=4e-3, dice_weight=1.0),
    }
)
# One network for both: the classifier's training for encoder and head, the decoder at the decoder's
# rate. No background is blanked, which would show the decoder the mask, and no mixes with the first
# weights: the decoder's are random.
_DEFAULT_MULTITASK = _DEFAULT_SEGMENT.model_copy(
    update={
        "train": _DEFAULT.train.model_copy(
            update={"epochs": 20, "batch_size": 8, "decoder_lr": 8.0, "dice_weight": 1.0, "wise_ft": False}
        )
    }
)

# PIM sections 1, 2, 8 and 9: its CUB recipe. The shares are 2048, 512, 128 and 32 positions at 384
# pixels.
_PIM = TrialConfig(
    encoder=EncoderConfig(name="swin_large_patch4_window12_384.ms_in22k", weights="pretrained", taps="merged"),
    gate="none",
    plugin=PluginConfig(width=1536, keep=(8 / 9, 8 / 9, 8 / 9, 2 / 9)),
    data=DataConfig(size=384, zoom=510 / 384, hflip=0.5, blur=0.1, sharpen=0.1),
    train=TrainConfig(
        epochs=50,
        batch_size=16,
        accumulate=2,
        optimizer="sgd",
        nesterov=True,
        lr=5e-4,
        weight_decay=5e-4,
        schedule="warmcosine",
        warmup_steps=800,
        plugin=PluginLossConfig(stage=0.5, dropped=5.0, combined=1.0),
    ),
)
# HERBS sections 0 to 6: a second pyramid, the image's class as the rule, 256, 128, 64 and 32
# positions, refinement.
_HERBS = _PIM.model_copy(
    update={
        "plugin": PluginConfig(
            width=1536, keep=(1 / 9, 2 / 9, 4 / 9, 2 / 9), bottom_up=True, rule="image", joint=64, pass_equal=False
        ),
        "train": _PIM.train.model_copy(
            update={
                "epochs": 80,
                "batch_size": 8,
                "accumulate": 4,
                "weight_decay": 3e-4,
                "warmup_steps": 1500,
                "plugin": PluginLossConfig(stage=0.3, dropped=5.0, combined=1.0, refine=1.375, temperature=64.0),
            }
        ),
    }
)
# A frozen foundation model under a small trained module: few images cannot overfit the encoder, and
# an epoch is cheap.
_FROZEN = TrialConfig(
    encoder=EncoderConfig(name="vit_small_patch14_dinov2.lvd142m", weights="pretrained", frozen=True),
    gate="meanmax",
    plugin=_HERBS.plugin.model_copy(update={"width": 256, "keep": (0.5, 0.5, 0.25, 0.25), "positions": "resize"}),
    data=_OWN_VIEW.model_copy(update={"blank": 0.1}),
    train=TrainConfig(
        epochs=50,
        lr=1e-3,
        plugin=_HERBS.train.plugin.model_copy(
            update={"temperature": 4.0, "refine_mean": "positions", "refine_scaled": True}
        ),
    ),
)

# Thin structures, for example veins, have no direction, and a patch shows little of a large image.
_THIN_VIEW: Mapping[str, Scalar] = {
    "data.zoom": 1.0,
    "data.fit": "patch",
    "data.size": 256,
    "data.patches": 4,
    "data.vflip": 0.5,
    "data.turn": 0.75,
    "data.colour": 0.2,
}
# On retinal vessels a wide decoder on an encoder that learns along, its BatchNorm too, is better
# than a small one on the frozen encoder of the classifier (docs/reference/results.md).
_THIN_CONFIG: Mapping[str, Scalar] = {
    "decoder.kind": "smp_unet",
    "decoder.channels": 0,
    "decoder.tune_encoder": True,
    "train.batch_size": 8,
    "train.lr": 1e-3,
}

PRESETS: Mapping[str, Mapping[Kind, Recipe]] = {
    "default": {
        Kind.CLASSIFIER: Recipe(_DEFAULT, CLASSIFIER_SPACE),
        Kind.DECODER: Recipe(_DEFAULT_SEGMENT, DECODER_SPACE, thin_view=_THIN_VIEW, thin_config=_THIN_CONFIG),
        # The baselines come first: logistic regression, and the network's own head. The penalty is
        # the best one for logistic regression on leaf species; a booster with early stopping needs
        # less.
        Kind.BOOSTER: Recipe(
            _DEFAULT.model_copy(update={"boost": BoostConfig(booster="logistic", folds=5, reg_lambda=0.01)}),
            BOOSTER_SPACE,
            starts=({"boost.booster": "head"}, {"boost.booster": "gblinear", "boost.reg_lambda": 1e-3}),
        ),
        Kind.MULTITASK: Recipe(_DEFAULT_MULTITASK, MULTITASK_SPACE),
    },
    "xmnet": {
        Kind.CLASSIFIER: Recipe(_PAPER, Space()),
        Kind.DECODER: _paper(DecoderConfig(kind="unet", gate_from=3), Space()),
        Kind.BOOSTER: Recipe(_PAPER.model_copy(update={"boost": BoostConfig(rounds=100)}), XMNET_BOOSTER_SPACE),
        # The published code can train both losses at once; its two steps are the kinds above.
        Kind.MULTITASK: _paper(DecoderConfig(kind="unet", gate_from=3), XMNET_MULTITASK_SPACE),
    },
    "mnsa": {
        Kind.CLASSIFIER: Recipe(_PAPER, Space()),
        Kind.DECODER: _paper(
            DecoderConfig(kind="mnsa", transfer=0.25, widths=_MNSA_TRIALS[0]), MNSA_SPACE, starts=_MNSA_TRIALS[1:]
        ),
        Kind.MULTITASK: _paper(DecoderConfig(kind="mnsa", transfer=0.25, widths=_MNSA_TRIALS[0]), MNSA_MULTITASK_SPACE),
    },
    # MGANet sections 3.4, 4.2 and 4.4: the masks guide the gate, half of the images lose a
    # rectangle, and evaluation sees the whole image.
    "mganet": {
        Kind.CLASSIFIER: Recipe(
            _PAPER.model_copy(
                update={
                    "data": _PAPER.data.model_copy(update={"erase": 0.5, "fit": "whole"}),
                    "train": _PAPER_TRAIN.model_copy(update={"mask_weight": 0.1}),
                }
            ),
            Space(),
        ),
    },
    "pim": {Kind.CLASSIFIER: Recipe(_PIM, Space())},
    "herbs": {Kind.CLASSIFIER: Recipe(_HERBS, Space())},
    "frozen": {Kind.CLASSIFIER: Recipe(_FROZEN, FROZEN_SPACE)},
}


def recipe(preset: str, kind: Kind) -> Recipe:
    """Return the recipe of ``preset`` for ``kind``.

    Raises UsageError with the existing names if there is none.
    """
    if preset not in PRESETS:
        raise UsageError(f"preset `{preset}` does not exist; the presets are: {', '.join(PRESETS)}.")
    recipes = PRESETS[preset]
    if kind not in recipes:
        having = [name for name, kinds in PRESETS.items() if kind in kinds]
        raise UsageError(
            f"preset `{preset}` has no recipe for kind `{kind}`; these presets have one: {', '.join(having)}."
        )
    return recipes[kind]
