"""Losses against NumPy and the formulas of MGANet, XMNet and MNSA."""

import numpy as np
import pytest
import torch
from segmentation_models_pytorch.losses import DiceLoss
from torch import Tensor
from torch.nn import functional as F

from venation.data.dataset import Batch
from venation.models.mask_logits import resize_shares
from venation.models.network import NetworkOutput
from venation.trials.losses import classify_loss, segment_loss, task_loss
from venation.trials.trial_config import TrainConfig


def make_output(logits: Tensor, attention: Tensor | None = None, mask: Tensor | None = None) -> NetworkOutput:
    return NetworkOutput(logits, attention, mask, torch.zeros(len(logits), 1))


def make_batch(label: Tensor, mask: Tensor, has_mask: list[bool] | None = None) -> Batch:
    count = len(label)
    return Batch(torch.zeros(count, 3, 8, 8), label, mask, torch.tensor(has_mask or [True] * count))


def random_mask(count: int) -> Tensor:
    return (torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(3)) > 0.7).float()


def test_smoothed_cross_entropy_equals_the_formula() -> None:
    logits = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    label = torch.tensor([0, 4, 2, 2])
    loss = classify_loss(
        make_output(logits), make_batch(label, torch.zeros(4, 1, 8, 8)), TrainConfig(label_smoothing=0.1)
    )
    logp = logits.numpy() - np.log(np.exp(logits.numpy()).sum(1, keepdims=True))
    target = np.full((4, 5), 0.1 / 5) + 0.9 * np.eye(5)[label.numpy()]
    assert float(loss.total) == pytest.approx(-(target * logp).sum(1).mean(), rel=1e-5)
    assert set(loss.parts) == {"ce"}


def test_weighted_cross_entropy_of_soft_labels_equals_the_formula() -> None:
    """The mean over images, each class's part by its weight, after smoothing."""
    generator = torch.Generator().manual_seed(0)
    logits, label = torch.randn(4, 3, generator=generator), torch.rand(4, 3, generator=generator).softmax(dim=1)
    weight = torch.tensor([0.5, 1.0, 3.0])
    config = TrainConfig(label_smoothing=0.2)
    batch = make_batch(label, torch.zeros(4, 1, 8, 8))
    loss = classify_loss(make_output(logits), batch, config, class_weight_N=weight)
    logp = logits.numpy() - np.log(np.exp(logits.numpy()).sum(1, keepdims=True))
    target = 0.8 * label.numpy() + 0.2 / 3
    assert float(loss.total) == pytest.approx(-(weight.numpy() * target * logp).sum(1).mean(), rel=1e-5)


def test_a_class_weight_multiplies_the_images_of_the_class() -> None:
    logits, label = torch.randn(5, 3, generator=torch.Generator().manual_seed(2)), torch.tensor([0, 2, 2, 1, 0])
    weight = torch.tensor([0.5, 1.0, 3.0])
    batch = make_batch(label, torch.zeros(5, 1, 8, 8))
    loss = classify_loss(make_output(logits), batch, TrainConfig(), class_weight_N=weight)
    logp = logits.numpy() - np.log(np.exp(logits.numpy()).sum(1, keepdims=True))
    expected = -(weight.numpy()[label] * logp[np.arange(5), label]).mean()
    assert float(loss.total) == pytest.approx(expected, rel=1e-5)


def test_the_gate_loss_counts_only_images_with_a_mask_that_is_not_empty() -> None:
    mask = random_mask(3)
    mask[1] = 0
    attention = torch.rand(3, 1, 2, 2, generator=torch.Generator().manual_seed(1))
    logits = torch.zeros(3, 2)
    batch = make_batch(torch.zeros(3, dtype=torch.int64), mask, [True, True, False])
    loss = classify_loss(make_output(logits, attention), batch, TrainConfig(mask_weight=0.1))
    pooled = mask[0, 0].numpy().reshape(2, 4, 2, 4).mean(axis=(1, 3))
    expected = ((attention[0, 0].numpy() - pooled / pooled.max()) ** 2).mean()
    assert float(loss.parts["gate"]) == pytest.approx(expected, rel=1e-5)
    assert float(loss.total) == pytest.approx(np.log(2) + 0.1 * expected, rel=1e-5)


def test_the_gate_loss_is_zero_without_masks() -> None:
    batch = make_batch(torch.zeros(2, dtype=torch.int64), torch.zeros(2, 1, 8, 8), [False, False])
    loss = classify_loss(make_output(torch.zeros(2, 2), torch.rand(2, 1, 2, 2)), batch, TrainConfig(mask_weight=0.1))
    assert float(loss.parts["gate"]) == 0.0
    assert float(loss.total) == pytest.approx(np.log(2))


def test_half_size_targets_are_means_of_two_by_two_pixels() -> None:
    mask = random_mask(2)
    expected = mask.numpy().reshape(2, 1, 4, 2, 4, 2).mean(axis=(3, 5))
    np.testing.assert_array_equal(resize_shares(mask, torch.zeros(2, 1, 4, 4)).numpy(), expected)


def test_bce_and_dice_equal_their_formulas() -> None:
    mask = random_mask(2)
    logits = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(2))
    batch = make_batch(torch.zeros(2, dtype=torch.int64), mask)
    loss = segment_loss(make_output(torch.zeros(2, 2), mask=logits), batch, TrainConfig(dice_weight=0.5))
    p = 1 / (1 + np.exp(-logits.double().numpy()))
    t = F.avg_pool2d(mask, 2).double().numpy()
    bce = -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean()
    dice = 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)
    assert float(loss.parts["bce"]) == pytest.approx(bce, rel=1e-5)
    assert float(loss.parts["dice"]) == pytest.approx(dice, rel=1e-5)
    assert float(loss.total) == pytest.approx(bce + 0.5 * dice, rel=1e-5)


def class_mask(count: int) -> Tensor:
    """Return masks of three classes, 1 to 3, on a background."""
    return torch.randint(4, (count, 1, 8, 8), generator=torch.Generator().manual_seed(5)).float()


def test_several_classes_have_softmax_cross_entropy_with_soft_targets() -> None:
    mask, logits = class_mask(3), torch.randn(3, 4, 4, 4, generator=torch.Generator().manual_seed(6))
    batch = make_batch(torch.zeros(3, dtype=torch.int64), mask, [True, False, True])
    loss = segment_loss(make_output(torch.zeros(3, 2), mask=logits), batch, TrainConfig())
    x, t = logits.double().numpy(), np.stack([(mask[:, 0] == k).double().numpy() for k in range(4)], axis=1)
    t = t.reshape(3, 4, 4, 2, 4, 2).mean(axis=(3, 5))
    entropy = -(t * (x - np.log(np.exp(x).sum(1, keepdims=True)))).sum(1)
    assert set(loss.parts) == {"bce"}
    assert float(loss.total) == pytest.approx(entropy[[0, 2]].mean(), rel=1e-5)
    full = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(6))
    hard = segment_loss(make_output(torch.zeros(3, 2), mask=full), batch, TrainConfig())
    kept = torch.tensor([0, 2])
    assert float(hard.total) == pytest.approx(float(F.cross_entropy(full[kept], mask[kept, 0].long())), rel=1e-5)


def test_several_classes_have_the_mean_dice_of_the_classes() -> None:
    """The library's loss is the mean over the given classes; its smoothing counts half."""
    mask, logits = class_mask(2), torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(7))
    batch = make_batch(torch.zeros(2, dtype=torch.int64), mask)
    found = segment_loss(make_output(torch.zeros(2, 2), mask=logits), batch, TrainConfig(dice_weight=0.5))
    wanted = DiceLoss("multiclass", classes=[1, 2, 3], smooth=0.5)(logits, mask[:, 0].long())
    assert float(found.parts["dice"]) == pytest.approx(float(wanted), rel=1e-5)
    assert float(found.total) == pytest.approx(float(found.parts["bce"]) + 0.5 * float(wanted), rel=1e-5)


def test_side_outputs_of_several_classes_have_halved_targets() -> None:
    mask = class_mask(2)
    main, side = (torch.randn(2, 4, size, size, generator=torch.Generator().manual_seed(size)) for size in (8, 4))
    output = make_output(torch.zeros(2, 2), mask=main)._replace(side_logits=(side,))
    loss = segment_loss(output, make_batch(torch.zeros(2, dtype=torch.int64), mask), TrainConfig())
    t = F.avg_pool2d(torch.stack([(mask[:, 0] == k).float() for k in range(4)], 1), 2)
    assert float(loss.parts["side2"]) == pytest.approx(float(F.cross_entropy(side, t)), rel=1e-5)


def test_one_structure_is_any_class_of_the_mask() -> None:
    mask, logits = class_mask(2), torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(8))
    config = TrainConfig(dice_weight=0.5)
    losses = [
        segment_loss(
            make_output(torch.zeros(2, 2), mask=logits), make_batch(torch.zeros(2, dtype=torch.int64), m), config
        )
        for m in (mask, (mask > 0).float())
    ]
    assert torch.equal(losses[0].total, losses[1].total) and float(losses[0].total) > 0


def supervised_output(sides: list[int]) -> NetworkOutput:
    """Return an output with 4 x 4 mask logits for two images and side outputs of given sizes."""
    generator = torch.Generator().manual_seed(4)
    main, *rest = (torch.randn(2, 1, size, size, generator=generator) for size in (4, *sides))
    return make_output(torch.zeros(2, 2), mask=main)._replace(side_logits=tuple(rest))


def numpy_bce(logits: Tensor, mask: Tensor) -> float:
    """Return the mean cross-entropy with the mean of the mask below each logit."""
    x, size = logits.double().numpy(), logits.shape[-1]
    t = mask.double().numpy().reshape(-1, 1, size, 8 // size, size, 8 // size).mean(axis=(3, 5))
    return float((np.logaddexp(0, x) - t * x).mean())


def test_deep_supervision_weights_repeatedly_halved_masks() -> None:
    """XMNet section 5.4: .95 of the mask's loss, then .025, .0125, ...

    The first side output has the size of the main output.
    """
    mask, output = random_mask(2), supervised_output([4, 2, 1])
    batch = make_batch(torch.zeros(2, dtype=torch.int64), mask)
    loss = segment_loss(output, batch, TrainConfig(dice_weight=0.5))
    assert output.mask_logits_B1HW is not None
    bces = [numpy_bce(logits, mask) for logits in (output.mask_logits_B1HW, *output.side_logits)]
    found = [float(loss.parts[name]) for name in ("bce", "side2", "side3", "side4")]
    assert found == pytest.approx(bces, rel=1e-5)
    expected = np.dot((0.95, 0.025, 0.0125, 0.00625), bces) + 0.5 * float(loss.parts["dice"])
    assert float(loss.total) == pytest.approx(expected, rel=1e-5)
    plain = segment_loss(output._replace(side_logits=()), batch, TrainConfig(dice_weight=0.5))
    assert float(plain.total) == pytest.approx(bces[0] + 0.5 * float(loss.parts["dice"]), rel=1e-5)


def test_side_outputs_beyond_the_weights_have_weight_zero() -> None:
    mask, output = random_mask(2), supervised_output([2, 1])
    batch = make_batch(torch.zeros(2, dtype=torch.int64), mask)
    loss = segment_loss(output, batch, TrainConfig(side_weights=(0.5, 0.25)))
    assert float(loss.total) == pytest.approx(0.5 * float(loss.parts["bce"]) + 0.25 * float(loss.parts["side2"]))
    assert float(loss.parts["side3"]) == pytest.approx(numpy_bce(output.side_logits[1], mask), rel=1e-5)


def test_images_without_a_mask_give_a_side_output_no_gradient() -> None:
    output = supervised_output([2])
    side = output.side_logits[0].requires_grad_()
    batch = make_batch(torch.zeros(2, dtype=torch.int64), random_mask(2), [True, False])
    segment_loss(output, batch, TrainConfig()).total.backward()
    assert side.grad is not None
    assert side.grad[0].abs().sum() > 0
    assert side.grad[1].abs().sum() == 0


def test_images_without_a_mask_give_a_decoder_no_gradient() -> None:
    logits = torch.zeros(2, 1, 4, 4, requires_grad=True)
    batch = make_batch(torch.zeros(2, dtype=torch.int64), random_mask(2), [True, False])
    task_loss(
        make_output(torch.zeros(2, 2), mask=logits),
        batch,
        TrainConfig(dice_weight=1.0),
        task="segment",
        epoch=0,
    ).total.backward()
    assert logits.grad is not None
    assert logits.grad[0].abs().sum() > 0
    assert logits.grad[1].abs().sum() == 0


def test_a_network_without_decoder_has_no_segment_loss() -> None:
    batch = make_batch(torch.zeros(1, dtype=torch.int64), random_mask(1))
    with pytest.raises(ValueError, match="no decoder"):
        segment_loss(make_output(torch.zeros(1, 2)), batch, TrainConfig())
