"""One training for labels and masks learns both, resumes bit for bit, and says what it lacks."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from venation.errors import DataError, UsageError
from venation.models.network import MultitaskNetwork, NetworkOutput
from venation.models.network_config import DecoderConfig
from venation.trials.kinds import single_tasks
from venation.trials.losses import task_loss
from venation.trials.parameter_groups import lr_factors
from venation.trials.trial_config import TrainConfig

from .test_losses import make_batch, random_mask
from .test_train import Parts, assert_same, run

Make = Callable[..., MultitaskNetwork]
CONFIG = TrainConfig(epochs=2, batch_size=8, lr=0.01, dice_weight=0.5, mask_loss_weight=2.0)
BOTH = {"task": "multitask", "monitor": "accuracy_iou"}


def test_the_joint_loss_is_the_labels_plus_the_weighted_masks() -> None:
    generator = torch.Generator().manual_seed(4)
    logits, mask_logits = torch.randn(3, 5, generator=generator), torch.randn(3, 1, 8, 8, generator=generator)
    label, mask = torch.tensor([0, 4, 2]), random_mask(3)
    output = NetworkOutput(logits, None, mask_logits, torch.zeros(3, 1))
    batch = make_batch(label, mask, [True, False, True])
    config = TrainConfig(mask_loss_weight=0.3)
    loss = task_loss(output, batch, config, task="multitask", epoch=0)
    entropy = F.binary_cross_entropy_with_logits(mask_logits[[0, 2]], mask[[0, 2]])
    assert float(loss.total) == pytest.approx(float(F.cross_entropy(logits, label) + 0.3 * entropy), rel=1e-6)
    assert set(loss.parts) == {"ce", "bce"} and single_tasks("multitask") == ("classify", "segment")


def test_encoder_head_and_decoder_learn_together(parts: Parts, make_network: Make, unet: DecoderConfig) -> None:
    """Every third training image has no mask: it still trains the head."""
    train = [replace(sample, mask=None) if number % 3 == 0 else sample for number, sample in enumerate(parts[0])]
    network = make_network(decoder=unet)
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    config = CONFIG.model_copy(update={"epochs": 12})
    results = list(run(network, (train, parts[1]), config, **BOTH))
    assert max(result.metrics["accuracy"] for result in results) >= 0.8
    assert max(result.metrics["iou"] for result in results) > max(0.5, results[0].metrics["iou"])
    assert set(results[0].losses) == {"ce", "bce", "dice", "total"}
    for result in results:
        losses, metrics = result.losses, result.metrics
        total = losses["ce"] + 2.0 * (losses["bce"] + 0.5 * losses["dice"])
        assert losses["total"] == pytest.approx(total, rel=1e-5)
        assert metrics["accuracy_iou"] == pytest.approx((metrics["accuracy"] + metrics["iou"]) / 2)
        assert {"logloss", "bce", "dice", "iou_ref", "macro_f1"} <= metrics.keys()
    assert not [name for name, value in before.items() if torch.equal(value, network.get_parameter(name))]


def test_a_killed_fit_resumes_bit_for_bit(
    parts: Parts, make_network: Make, unet: DecoderConfig, tmp_path: Path
) -> None:
    whole = make_network(decoder=unet)
    list(run(whole, parts, CONFIG, **BOTH))
    path = tmp_path / "c.safetensors"
    next(run(make_network(decoder=unet), parts, CONFIG, checkpoint=path, **BOTH))
    resumed = make_network(decoder=unet, seed=3)
    list(run(resumed, parts, CONFIG, checkpoint=path, **BOTH))
    assert_same(whole.state_dict(), resumed.state_dict())


def test_the_decoder_has_its_own_rate(make_network: Make, unet: DecoderConfig) -> None:
    network = make_network(decoder=unet)
    factors = lr_factors(network, TrainConfig(decoder_lr=8.0, encoder_lr=0.5))
    named = {name for name, _ in network.named_parameters()}
    assert {name for name, factor in factors.items() if factor == 8.0} == {n for n in named if n.startswith("decoder.")}
    assert {name for name, factor in factors.items() if factor == 0.5} == {n for n in named if n.startswith("encoder.")}
    assert not [name for name in factors if name.startswith(("head.", "gate."))]


@pytest.mark.parametrize(
    ("task", "field", "value", "says"),
    [
        ("multitask", "mixup", 0.2, "mixed images have no mask for the decoder: set train.mixup=0.0"),
        ("multitask", "cutmix", 1.0, "mixed images have no mask for the decoder"),
        ("classify", "mask_loss_weight", 2.0, "learns labels and masks at once: set train.mask_loss_weight=1.0"),
        ("segment", "decoder_lr", 8.0, "learns labels and masks at once: set train.decoder_lr=1.0"),
    ],
)
def test_a_setting_of_another_task_is_refused(
    parts: Parts, make_network: Make, unet: DecoderConfig, task: str, field: str, value: float, says: str
) -> None:
    config = TrainConfig.model_validate({field: value})
    monitor = "iou" if task == "segment" else "accuracy"
    with pytest.raises(UsageError, match=f"train.{field}={value}.*{says}"):
        next(run(make_network(decoder=unet), parts, config, task=task, monitor=monitor))


def test_mixes_with_the_first_weights_and_missing_parts_are_refused(
    parts: Parts, make_network: Make, unet: DecoderConfig
) -> None:
    config = CONFIG.model_copy(update={"head_start": "probe", "wise_ft": True})
    with pytest.raises(UsageError, match="a decoder's first ones are random: set train.wise_ft=False"):
        next(run(make_network(decoder=unet), parts, config, **BOTH))
    with pytest.raises(UsageError, match="no decoder to train"):
        next(run(make_network(), parts, CONFIG, **BOTH))
    bare = ([replace(sample, mask=None) for sample in part] for part in parts)
    with pytest.raises(DataError, match="no image of this split has a mask"):
        next(run(make_network(decoder=unet), tuple(bare), CONFIG, **BOTH))
