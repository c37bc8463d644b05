"""The resolved config of one trial: what a trial records, what export and predict read."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ..data.config import DataConfig
from ..models.config import DecoderConfig, EncoderConfig, Gate, NetworkConfig


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TrainConfig(_Config):
    """One optimisation: optimiser, schedule, losses.

    ``schedule`` ``cosine`` falls to zero over ``epochs``, set once an epoch (the papers'); ``onecycle`` warms up over
    ``warmup`` of the steps, then falls by cosine, set every step. ``mask_weight`` is MGANet's weight of the gate's MSE;
    ``dice_weight`` adds a soft Dice loss to the mask's binary cross-entropy.
    """

    epochs: int = Field(default=20, ge=1)
    batch_size: int = Field(default=8, ge=1)
    optimizer: Literal["sgd", "adamw"] = "adamw"
    lr: float = Field(default=3e-3, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=0.05, ge=0)
    schedule: Literal["constant", "cosine", "onecycle"] = "onecycle"
    warmup: float = Field(default=0.1, ge=0, lt=1)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    mask_weight: float = Field(default=0.0, ge=0)
    dice_weight: float = Field(default=0.0, ge=0)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    seed: int = Field(default=0, ge=0, lt=2**63)


class BoostConfig(_Config):
    """XGBoost on frozen features. ``gblinear`` ignores what only trees have (spec section 5.2)."""

    booster: Literal["gblinear", "gbtree"] = "gblinear"
    rounds: int = Field(default=100, ge=1)
    patience: int = Field(default=30, ge=1, description="rounds without a better validation log-loss")
    eta: float = Field(default=0.3, gt=0, le=1)
    reg_lambda: float = Field(default=1e-3, ge=0)
    reg_alpha: float = Field(default=1e-6, ge=0)
    max_depth: int = Field(default=4, ge=1, le=16)
    subsample: float = Field(default=1.0, gt=0, le=1)
    colsample: float = Field(default=1.0, gt=0, le=1)
    seed: int = Field(default=0, ge=0, lt=2**63)


class TrialConfig(_Config):
    """Everything that decides a trial's result besides the data: the same form for every kind of study."""

    encoder: EncoderConfig = EncoderConfig()
    gate: Gate = "meanmax"
    decoder: DecoderConfig = DecoderConfig()
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()
    boost: BoostConfig = BoostConfig()

    def network(self, num_classes: int) -> NetworkConfig:
        """The network part of this config, for ``num_classes`` classes."""
        return NetworkConfig(encoder=self.encoder, gate=self.gate, decoder=self.decoder, num_classes=num_classes)

    def bare(self) -> "TrialConfig":
        """The same config with a random encoder: for a network whose weights are loaded as a whole afterwards."""
        return self.model_copy(update={"encoder": self.encoder.model_copy(update={"weights": "none"})})
