"""Settings of encoder and head are refused where both are frozen."""

from collections.abc import Callable

import pytest

from venation.errors import UsageError
from venation.models.network import MultitaskNetwork
from venation.models.network_config import DecoderConfig
from venation.trials.task_fields import check_task_fields
from venation.trials.trial_config import TrainConfig

from .test_train import Parts, run


@pytest.mark.parametrize(
    ("field", "value", "neutral"),
    [
        ("mixup", 0.2, "0.0"),
        ("cutmix", 1.0, "0.0"),
        ("balance", "weights", "none"),
        ("head_start", "probe", "random"),
    ],
)
def test_a_decoders_training_has_no_such_setting(field: str, value: object, neutral: str) -> None:
    config = TrainConfig.model_validate({field: value})
    check_task_fields(config, "classify")
    with pytest.raises(UsageError, match=f"train.{field}={value} is for the head.* set train.{field}={neutral}"):
        check_task_fields(config, "segment")


def test_the_others_are_allowed_and_a_fit_checks_first(
    parts: Parts, make_network: Callable[..., MultitaskNetwork], unet: DecoderConfig
) -> None:
    check_task_fields(TrainConfig(balance="sampler", ema=0.9, patience=3), "segment")
    with pytest.raises(UsageError, match="train.mixup"):
        next(run(make_network(decoder=unet), parts, TrainConfig(mixup=0.2), task="segment", monitor="iou"))
