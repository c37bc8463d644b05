"""Mixed batches against the shares that the pixels show, and whole fits with them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from venation.data.dataset import Batch
from venation.models.network import MultitaskNetwork
from venation.trials.mixing import BatchMixer
from venation.trials.trial_config import TrainConfig, TrialConfig

from .test_train import QUICK, Parts, assert_same, run

PLAIN = QUICK.model_copy(update={"mask_weight": 0.0})


def numbered_batch(labels: list[int]) -> Batch:
    """Return images of 16 x 16 whose pixels are the image's number."""
    number_B = torch.arange(len(labels)).float()
    image_BCHW = number_B[:, None, None, None].expand(-1, 3, 16, 16).contiguous()
    return Batch(image_BCHW, torch.tensor(labels), torch.zeros(len(labels), 1, 16, 16), torch.zeros(len(labels)).bool())


@pytest.mark.parametrize("field", ["mixup", "cutmix"])
@pytest.mark.parametrize("seed", range(4))
def test_labels_have_the_shares_of_the_pixels(field: str, seed: int) -> None:
    """The mean pixel mixes the numbers of the image and of the one before it."""
    labels = [0, 1, 2, 2]
    torch.manual_seed(seed)
    mixed = BatchMixer(TrainConfig(**{field: 1.0}), 3)(numbered_batch(labels))
    assert mixed.label_B.shape == (4, 3)
    own, other = np.arange(4), np.roll(np.arange(4), 1)
    mean_B = mixed.image_BCHW.mean(dim=(1, 2, 3)).numpy()
    share = (mean_B[0] - other[0]) / (own[0] - other[0])
    expected_BN = share * np.eye(3)[labels] + (1 - share) * np.eye(3)[np.roll(labels, 1)]
    np.testing.assert_allclose(mixed.label_B.numpy(), expected_BN, atol=1e-5)
    np.testing.assert_allclose(mean_B, share * own + (1 - share) * other, atol=1e-5)
    whole = np.isin(mixed.image_BCHW.numpy(), own).all()
    assert whole == (field == "cutmix"), "CutMix pastes pixels, mixup blends them"


def test_a_batch_of_one_class_keeps_its_label() -> None:
    mixed = BatchMixer(TrainConfig(mixup=0.2, cutmix=1.0), 3)(numbered_batch([1, 1, 1]))
    np.testing.assert_allclose(mixed.label_B.numpy(), np.eye(3)[[1, 1, 1]], atol=1e-6)


def test_both_kinds_are_drawn_and_none_without_alpha() -> None:
    mixer = BatchMixer(TrainConfig(mixup=1.0, cutmix=1.0), 4)
    torch.manual_seed(0)
    batch = numbered_batch([0, 1, 2, 3])
    pasted = [bool((mixer(batch).image_BCHW % 1 == 0).all()) for _ in range(40)]
    assert 8 < sum(pasted) < 32
    assert BatchMixer(TrainConfig(), 4)(batch) is batch


def test_a_mixed_fit_learns_and_resumes_bit_for_bit(
    parts: Parts, make_network: Callable[..., MultitaskNetwork], tmp_path: Path
) -> None:
    config = PLAIN.model_copy(update={"mixup": 0.4, "cutmix": 1.0, "label_smoothing": 0.1})
    whole, path = make_network(), tmp_path / "c.safetensors"
    expected = list(run(whole, parts, config))
    plain = list(run(make_network(), parts, PLAIN))
    assert expected[0].losses != plain[0].losses
    cut = run(make_network(), parts, config, checkpoint=path)
    next(cut)
    cut.close()
    torch.rand(3)
    resumed = make_network(seed=7)
    assert [r.losses for r in run(resumed, parts, config, checkpoint=path)] == [r.losses for r in expected[1:]]
    assert_same(whole.state_dict(), resumed.state_dict())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"train": {"mixup": -0.1}}, "greater than or equal to 0"),
        ({"train": {"cutmix": 11}}, "less than or equal to 10"),
        ({"train": {"mixup": 0.2, "mask_weight": 0.1}}, "mixed images have no mask for the gate"),
        ({"train": {"mixup": 0.2}, "plugin": {"width": 8}}, "train.mixup=0.2 needs the pooled head"),
        ({"train": {"balance": "weights"}, "plugin": {"width": 8}}, "train.balance=weights needs the pooled head"),
        ({"train": {"head_start": "probe"}, "plugin": {"width": 8}}, "train.head_start=probe needs the pooled head"),
        ({"train": {"ema": 1.0}}, "less than 1"),
        ({"train": {"encoder_lr": 0.0}}, "greater than 0"),
        ({"train": {"encoder_lr": 11.0}}, "less than or equal to 10"),
        ({"train": {"layer_decay": 1.1}}, "less than or equal to 1"),
        ({"train": {"patience": -1}}, "greater than or equal to 0"),
    ],
)
def test_values_out_of_range_are_refused(config: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrialConfig.model_validate(config)
