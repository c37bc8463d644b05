"""The resolved config of a trial: recorded by the trial, read by export and prediction."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..data.data_config import DataConfig
from ..models.network_config import DecoderConfig, EncoderConfig, Gate, NetworkConfig, PluginConfig
from .kinds import BASE_PARTS


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PluginLossConfig(_Config):
    """Weights of the losses of PIM and HERBS, each summed over the levels, and the temperature.

    The refinement's temperature is ``temperature``, halved every ``temperature_epochs`` epochs. Its
    divergence is the mean over positions and classes (``elements``, the reference) or over
    positions, the true KL (``positions``). ``refine_scaled`` multiplies it by the squared
    temperature, which keeps its gradients from vanishing at high temperatures.
    """

    stage: float = Field(default=0.5, ge=0)
    selected: float = Field(default=0.0, ge=0)
    dropped: float = Field(default=5.0, ge=0)
    combined: float = Field(default=1.0, ge=0)
    refine: float = Field(default=0.0, ge=0)
    refine_mean: Literal["elements", "positions"] = "elements"
    refine_scaled: bool = False
    temperature: float = Field(default=64.0, gt=0)
    temperature_epochs: int = Field(default=10, ge=1)


class TrainConfig(_Config):
    """The settings of one training: optimiser, schedule, losses.

    ``schedule``: ``cosine`` falls to zero over ``epochs``, set once an epoch (the papers'
    schedule); ``onecycle`` warms up over ``warmup`` of the steps, then falls by cosine, set every
    step; ``warmcosine`` rises over ``warmup_steps`` batches and falls by a cosine over all of them
    (PIM and HERBS). ``encoder_lr`` is a factor on the encoder's learning rate, and ``layer_decay``
    a factor for each of its stages further from the head. ``accumulate`` batches make one step of
    the optimiser. At most ``micro_batch`` images go through the network at once (0: the whole
    batch), which saves memory: the gradients add up to the batch's, but BatchNorm and the Dice loss
    see the micro-batch alone. ``mask_weight`` is MGANet's weight of the gate's MSE; ``dice_weight``
    adds a soft Dice loss to the mask's binary cross-entropy; ``mask_loss_weight`` is the weight of
    the mask's whole loss beside the label's, and ``decoder_lr`` a factor on the decoder's learning
    rate, where one training learns both; ``side_weights`` weigh the mask's output and the deeper
    ones under deep supervision (XMNet). ``frozen_bn`` keeps the statistics of the encoder's
    BatchNorm. ``ema`` is the decay of a moving average of the weights, which is then validated and
    stored. ``wise_ft`` also validates mixes of the trained weights with those that training started
    from, and counts the one of the lowest loss. ``patience`` ends the training early. ``mixup`` and
    ``cutmix`` are the alphas of mixed batches; ``balance`` evens out uneven classes; ``head_start``
    ``probe`` starts the head as a logistic regression on the pretrained features.
    """

    epochs: int = Field(default=20, ge=1)
    batch_size: int = Field(default=8, ge=1)
    optimizer: Literal["sgd", "adamw"] = "adamw"
    lr: float = Field(default=3e-3, gt=0)
    encoder_lr: float = Field(default=1.0, gt=0, le=10, description="factor on the encoder's learning rate")
    decoder_lr: float = Field(default=1.0, gt=0, le=100, description="factor on the decoder's learning rate")
    layer_decay: float = Field(default=1.0, gt=0, le=1, description="factor on the learning rate per stage")
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(default=0.05, ge=0)
    schedule: Literal["constant", "cosine", "onecycle", "warmcosine"] = "onecycle"
    warmup: float = Field(default=0.1, ge=0, lt=1)
    warmup_steps: int = Field(default=0, ge=0)
    accumulate: int = Field(default=1, ge=1)
    micro_batch: int = Field(default=0, ge=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    mixup: float = Field(default=0.0, ge=0, le=10, description="alpha of mixup; 0: none")
    cutmix: float = Field(default=0.0, ge=0, le=10, description="alpha of CutMix; 0: none")
    balance: Literal["none", "sampler", "weights"] = Field(default="none", description="how uneven classes are evened")
    head_start: Literal["random", "probe", "auto"] = Field(default="random", description="the head's first weights")
    mask_weight: float = Field(default=0.0, ge=0)
    dice_weight: float = Field(default=0.0, ge=0)
    mask_loss_weight: float = Field(default=1.0, gt=0, le=1000, description="the mask's loss beside the label's")
    side_weights: tuple[float, ...] = Field(default=(0.95, 0.025, 0.0125, 0.00625, 0.003125), min_length=1)
    plugin: PluginLossConfig = PluginLossConfig()
    frozen_bn: bool | Literal["auto"] = Field(default=False, description="the encoder's BatchNorm keeps its statistics")
    ema: float = Field(default=0.0, ge=0, lt=1, description="decay of the averaged weights; 0: none")
    wise_ft: bool | Literal["auto"] = Field(default=False, description="mixes with the first weights are validated")
    patience: int = Field(default=0, ge=0, description="epochs without a better one that end the training; 0: all")
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    seed: int = Field(default=0, ge=0, lt=2**63)

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> Self:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov looks ahead along the momentum, which is 0: set nesterov=false or a momentum")
        return self

    @model_validator(mode="after")
    def _interpolates_two_classifiers(self) -> Self:
        if self.wise_ft is True and self.head_start == "random":
            raise ValueError(
                "train.wise_ft=true mixes the trained weights with the first ones, and a random head is no classifier:"
                " set train.head_start=probe or train.wise_ft=false"
            )
        return self

    @model_validator(mode="after")
    def _mixed_images_have_no_mask(self) -> Self:
        if self.mask_weight and (self.mixup or self.cutmix):
            raise ValueError(
                "mixed images have no mask for the gate: set train.mask_weight=0, or train.mixup=0 and train.cutmix=0"
            )
        return self


class BoostConfig(_Config):
    """The classifier of a frozen network's features: XGBoost or one of two baselines.

    ``logistic`` is multinomial logistic regression with an L2 penalty ``reg_lambda`` on
    standardised features, the optimum that ``gblinear`` boosts towards. ``head`` is the network's
    own head without any fit. ``gblinear`` ignores tree settings (XMNet, section 5.2).

    ``folds`` >= 2 splits the validation split into folds, keeping groups together. Each fold is
    scored by a fit on the training split and the other folds; the final booster is fitted on both
    splits. 0 fits once on the training split and uses the validation split for early stopping.
    """

    booster: Literal["head", "logistic", "gblinear", "gbtree", "dart"] = "gblinear"
    folds: int = Field(default=0, ge=0, le=20)
    rounds: int = Field(default=100, ge=1)
    patience: int = Field(default=30, ge=1, description="rounds without a better validation log-loss")
    eta: float = Field(default=0.3, gt=0, le=1)
    reg_lambda: float = Field(default=1e-3, ge=0)
    reg_alpha: float = Field(default=1e-6, ge=0)
    max_depth: int = Field(default=4, ge=1, le=16)
    subsample: float = Field(default=1.0, gt=0, le=1)
    colsample: float = Field(default=1.0, gt=0, le=1)
    drop: float = Field(default=0.1, ge=0, le=1, description="dart: share of the trees left out in a round")
    seed: int = Field(default=0, ge=0, lt=2**63)

    @model_validator(mode="after")
    def _leaves_some_out(self) -> Self:
        if self.folds == 1:
            raise ValueError("one fold leaves no images to train on: set folds to 0, or to 2 or more")
        return self


class TrialConfig(_Config):
    """All settings that determine a trial's result besides the data, for every kind of study."""

    encoder: EncoderConfig = EncoderConfig()
    gate: Gate = "meanmax"
    plugin: PluginConfig = PluginConfig()
    decoder: DecoderConfig = DecoderConfig()
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()
    boost: BoostConfig = BoostConfig()

    @model_validator(mode="after")
    def _every_head_learns(self) -> Self:
        if not self.plugin.width:
            return self
        losses = self.train.plugin
        if losses.refine > 0 and not self.plugin.bottom_up:
            raise ValueError("train.plugin.refine trains the first pyramid on the second: set plugin.bottom_up=true")
        needed = ["stage", "combined", *(["refine"] if self.plugin.bottom_up else [])]
        if idle := [name for name in needed if getattr(losses, name) == 0]:
            raise ValueError(f"every head of the module needs a loss: set train.plugin.{idle[0]} above 0")
        return self

    @model_validator(mode="after")
    def _plugin_has_its_own_losses(self) -> Self:
        neutral = {"mixup": (0.0,), "cutmix": (0.0,), "balance": ("none", "sampler"), "head_start": ("random", "auto")}
        for name, allowed in neutral.items():
            if self.plugin.width and getattr(self.train, name) not in allowed:
                raise ValueError(
                    f"train.{name}={getattr(self.train, name)} needs the pooled head, which a plug-in module replaces:"
                    f" set train.{name}={allowed[0]} or plugin.width=0"
                )
        return self

    def network(self, num_classes: int) -> NetworkConfig:
        """Return the config of the network for ``num_classes`` classes."""
        return NetworkConfig(
            encoder=self.encoder,
            gate=self.gate,
            plugin=self.plugin,
            decoder=self.decoder,
            num_classes=num_classes,
            size=self.data.size_HW,
            channels=self.data.channels,
        )

    def with_base(self, base: "TrialConfig | None") -> "TrialConfig":
        """Return this config with the parts that a study takes from its base's config, if any.

        Of the base's ``data`` that is the view, on which its features depend. The random changes in
        training stay this config's: they suit what it trains.
        """
        if base is None:
            return self
        parts = {part: getattr(base, part) for part in BASE_PARTS}
        return self.model_copy(update=parts | {"data": self.data.with_view(base.data)})

    def with_random_encoder(self) -> "TrialConfig":
        """Return the config with a random encoder, for a network whose weights are loaded later."""
        return self.model_copy(update={"encoder": self.encoder.model_copy(update={"weights": "none"})})
