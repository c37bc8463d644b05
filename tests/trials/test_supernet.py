"""A supernet against separate decoders: mean gradients, scores, and a fit that resumes."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from venation.data.dataset import Batch, LeafDataset
from venation.data.loader import Loader, make_loader
from venation.data.manifest import Sample
from venation.errors import DataError, UsageError, UserError
from venation.models.network import MultitaskNetwork
from venation.models.network_config import DecoderConfig, WidthsConfig
from venation.models.subnets import DecoderSubnet
from venation.trials.errors import TrialFailed
from venation.trials.evaluate import evaluate
from venation.trials.losses import segment_loss
from venation.trials.recalibrate import recalibrate
from venation.trials.supernet import SubnetScore, Supernet, fit_supernet
from venation.trials.train import EpochResult, finished_epochs
from venation.trials.trial_config import TrainConfig
from venation.workers.ranking_plot import draw_ranking

from .conftest import CONFIG

CPU = torch.device("cpu")
CLASSES = ("level", "slant", "upright")
Make = Callable[..., MultitaskNetwork]
Parts = tuple[list[Sample], list[Sample]]
TRAIN = TrainConfig(epochs=2, batch_size=7, lr=5e-3, dice_weight=1.0)


def decoder(deform3: float = 0.25, atrous2: float = 0.5, meanmax: float = 0.25, **others: Any) -> DecoderConfig:
    widths = WidthsConfig(deform3=deform3, deform5=0, atrous2=atrous2, atrous3=0, meanmax=meanmax)
    return DecoderConfig(**({"kind": "mnsa", "channels": 8, "widths": widths} | others))


CONFIGS = [decoder(*widths) for widths in itertools.product((0.25, 0.0), (0.5, 0.125), (0.25, 0.125))]


def loaders(parts: Parts) -> tuple[Loader, Loader, Loader]:
    """Return loaders of the training split with and without augmentation, and of validation."""
    changed = LeafDataset(parts[0], CLASSES, CONFIG.model_copy(update={"hflip": 0.5, "colour": 0.2}), train=True)
    plain, val = (LeafDataset(samples, CLASSES, CONFIG, train=False) for samples in parts)
    return (
        make_loader(changed, batch_size=7, train=True, seed=0),
        make_loader(plain, batch_size=7, train=False, seed=0),
        make_loader(val, batch_size=8, train=False, seed=0),
    )


def begin(
    make_network: Make, parts: Parts, config: TrainConfig = TRAIN, **options: Any
) -> tuple[Supernet, Iterator[EpochResult]]:
    supernet = Supernet(make_network(decoder=CONFIGS[0]), CONFIGS)
    train, _, val = loaders(parts)
    given: dict[str, Any] = {"device": CPU, "monitor": "iou"} | options
    return supernet, fit_supernet(supernet, train, val, config, **given)


def weights(supernet: Supernet) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in supernet.network.state_dict().items()}


@pytest.mark.parametrize("options", [{}, {"full_size": True, "detail": 3}, {"supervise": True, "channels": 0}])
def test_a_step_adds_the_mean_gradient_of_four_subnets(
    make_network: Make, parts: Parts, options: dict[str, Any]
) -> None:
    configs = [config.model_copy(update=options) for config in CONFIGS]
    network = make_network(decoder=configs[0]).double()
    network.freeze_base()
    supernet = Supernet(network.train(), configs)
    batch = next(iter(loaders(parts)[0]))
    batch = Batch(batch.image_BCHW.double(), batch.label_B, batch.mask_B1HW.double(), batch.has_mask_B)
    torch.manual_seed(3)
    drawn = torch.randint(len(configs), (2,)).tolist()
    torch.manual_seed(3)
    parts_of_loss = supernet.add_gradients(batch, TRAIN, group=2)
    gradients = {name: parameter.grad for name, parameter in network.named_parameters() if parameter.requires_grad}
    network.zero_grad()

    losses = []
    for config in (configs[0], configs[-1], *(configs[number] for number in drawn)):
        part = DecoderSubnet(network.decoder, config)
        output = network(batch.image_BCHW)
        masks = part(part.weights() | part.buffers(), network.encoder(batch.image_BCHW), batch.image_BCHW)
        size = output.mask_logits_B1HW.shape[-2:]
        logits = torch.nn.functional.interpolate(masks[0], size, mode="bilinear")
        losses.append(
            segment_loss(output._replace(mask_logits_B1HW=logits, side_logits=tuple(masks[1:])), batch, TRAIN)
        )
    (sum(loss.total for loss in losses) / 4 / 2).backward()
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and gradients[name] is not None, name
            assert torch.allclose(gradients[name], parameter.grad, rtol=1e-4, atol=1e-6), name
    assert gradients.keys() == {f"decoder.{name}" for name, _ in supernet.decoder.named_parameters()}
    mean = float(torch.stack([loss.total.detach() for loss in losses]).mean())
    assert float(parts_of_loss["total"]) == pytest.approx(mean, rel=1e-5)
    assert parts_of_loss.keys() == {*losses[0].parts, "total"}


def test_a_batch_in_chunks_adds_the_weighted_gradients_of_the_chunks(make_network: Make, parts: Parts) -> None:
    network = make_network(decoder=CONFIGS[0])
    network.freeze_base()
    supernet = Supernet(network.train(), CONFIGS)
    batch = next(iter(loaders(parts)[0]))
    batch = batch._replace(has_mask_B=torch.tensor([True, True, False, True, False, True, True]))

    def gradients(given: Batch, group: int, size: int) -> tuple[dict[str, Tensor], float]:
        network.zero_grad()
        torch.manual_seed(3)
        total = float(supernet.add_gradients(given, TRAIN, group=group, size=size)["total"])
        return {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}, total

    both, total = gradients(batch, 2, 4)
    chunks = [gradients(Batch(*(part[rows] for part in batch)), 2, 0) for rows in (slice(0, 4), slice(4, 7))]
    assert total == pytest.approx(3 / 5 * chunks[0][1] + 2 / 5 * chunks[1][1], rel=1e-5)
    for name, gradient in both.items():
        expected = 3 / 5 * chunks[0][0][name] + 2 / 5 * chunks[1][0][name]
        assert torch.allclose(gradient, expected, rtol=1e-4, atol=1e-6), name


def score(supernet: Supernet, parts: Parts, *, recalibrated: bool = True) -> list[SubnetScore]:
    _, plain, val = loaders(parts)
    return supernet.score(plain if recalibrated else [], val, device=CPU)


@pytest.fixture
def learnt(make_network: Make, parts: Parts) -> Supernet:
    supernet, epochs = begin(make_network, parts)
    list(epochs)
    return supernet


@pytest.mark.parametrize("recalibrated", [True, False])
def test_a_subnet_scores_like_a_separate_decoder(
    make_network: Make, parts: Parts, learnt: Supernet, recalibrated: bool
) -> None:
    learnt.network.train()
    before = weights(learnt)
    scores = score(learnt, parts, recalibrated=recalibrated)
    assert [each.config for each in scores] == CONFIGS and learnt.network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(learnt).items())
    _, plain, val = loaders(parts)
    for each in (scores[0], scores[2], scores[-1]):
        part = DecoderSubnet(learnt.decoder, each.config)
        alone = make_network(decoder=each.config)
        assert alone.decoder is not None
        alone.load_state_dict(
            {name: tensor for name, tensor in before.items() if not name.startswith("decoder.")}
            | {f"decoder.{name}": tensor for name, tensor in (part.weights() | part.buffers()).items()}
        )
        alone.freeze_base()
        if recalibrated:
            recalibrate(alone, plain, device=CPU, task="segment")
        expected = evaluate(alone, val, device=CPU, task="segment")
        assert each.parameters == sum(parameter.numel() for parameter in alone.decoder.parameters())
        assert each.metrics["iou"] == pytest.approx(expected["iou"], abs=2e-3)
        assert each.metrics["bce"] == pytest.approx(expected["bce"], rel=1e-4)
    assert len({each.metrics["bce"] for each in scores}) == len(scores)


def test_all_subnets_learn(make_network: Make, parts: Parts) -> None:
    """Every subnet has a lower loss than at the start."""
    learnt, epochs = begin(make_network, parts, TRAIN.model_copy(update={"epochs": 4}))
    list(epochs)
    start = Supernet(make_network(decoder=CONFIGS[0]), CONFIGS)
    pairs = zip(score(learnt, parts), score(start, parts), strict=True)
    assert all(after.metrics["bce"] < 0.9 * before.metrics["bce"] for after, before in pairs)


@pytest.mark.parametrize("ema", [0.0, 0.9], ids=["plain", "averaged"])
def test_an_interrupted_fit_resumes_to_the_same_result(
    make_network: Make, parts: Parts, tmp_path: Path, ema: float
) -> None:
    config = TRAIN.model_copy(update={"accumulate": 2, "ema": ema})
    whole, epochs = begin(make_network, parts, config)
    results = list(epochs)
    assert [result.epoch for result in results] == [0, 1] and {"bce", "dice", "total"} == results[0].losses.keys()
    path = tmp_path / "checkpoint.safetensors"
    _, epochs = begin(make_network, parts, config, checkpoint=path)
    first = [next(epochs)]
    assert [result.metrics for result in finished_epochs(path)] == [result.metrics for result in first]
    resumed, epochs = begin(make_network, parts, config, checkpoint=path)
    rest = list(epochs)
    assert [(r.epoch, r.losses, r.metrics, r.best) for r in (*first, *rest)] == [
        (r.epoch, r.losses, r.metrics, r.best) for r in results
    ]
    assert all(torch.equal(tensor, weights(whole)[name]) for name, tensor in weights(resumed).items())
    ranked, again = score(whole, parts), score(resumed, parts)
    assert ranked == again


def test_the_best_epoch_of_the_widest_is_kept_and_the_base_is_unchanged(make_network: Make, parts: Parts) -> None:
    supernet, epochs = begin(make_network, parts)
    base = {name: tensor for name, tensor in weights(supernet).items() if not name.startswith("decoder.")}
    results = list(epochs)
    _, _, val = loaders(parts)
    metrics = evaluate(supernet.network, val, device=CPU, task="segment")
    assert metrics["iou"] == max(result.metrics["iou"] for result in results)
    assert all(torch.equal(tensor, weights(supernet)[name]) for name, tensor in base.items())


def test_a_supernet_that_cannot_be_trained_or_ranked_is_refused(
    make_network: Make, parts: Parts, unet: DecoderConfig, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="no decoder to slice"):
        Supernet(make_network(), CONFIGS)
    with pytest.raises(ValueError, match="only an MNSA decoder"):
        Supernet(make_network(decoder=unet), CONFIGS)
    with pytest.raises(TrialFailed, match=r"became nan|became inf") as failed:
        list(begin(make_network, parts, TRAIN.model_copy(update={"lr": 1e30}))[1])
    assert failed.value.cause == "nan"
    with pytest.raises(UsageError, match="`accuracy` is not a metric of this fit"):
        list(begin(make_network, parts, monitor="accuracy")[1])
    with pytest.raises(UsageError, match=r"a batch of one image .* raise train.micro_batch"):
        list(begin(make_network, parts, TRAIN.model_copy(update={"micro_batch": 1}))[1])
    path = tmp_path / "checkpoint.safetensors"
    next(begin(make_network, parts, checkpoint=path)[1])
    with pytest.raises(UserError, match="is of another config"):
        list(begin(make_network, parts, TRAIN.model_copy(update={"lr": 1e-3}), checkpoint=path)[1])
    bare = ([], [replace(sample, mask=None) for sample in parts[1]])
    with pytest.raises(DataError, match="training split has no images"):
        list(begin(make_network, bare)[1])  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no image of this split has a mask"):
        score(Supernet(make_network(decoder=CONFIGS[0]), CONFIGS), (parts[0], bare[1]))


def test_the_plot_shows_every_config_and_marks_the_best() -> None:
    picture = np.asarray(draw_ranking([0.9, 0.5, 0.1], [10, 30, 20], chosen=[0], names=("iou", "parameters")))
    marked = np.argwhere((picture == (190, 30, 30)).all(axis=2))
    others = np.argwhere((picture == (150, 160, 175)).all(axis=2))
    # The best point is in the upper left corner: the highest value at the lowest cost.
    assert len(marked) and marked[:, 0].max() < others[:, 0].min() and marked[:, 1].max() < others[:, 1].min()
    assert others[:, 0].max() - others[:, 0].min() > 100
    same = draw_ranking([0.5, 0.5], [7, 7], chosen=[], names=("iou", "parameters"))
    assert (np.asarray(same) == (150, 160, 175)).all(axis=2).any()


def test_a_supernet_of_several_mask_classes_scores_each(make_network: Make, parts: Parts) -> None:
    configs = [config.model_copy(update={"classes": ("vein", "lesion")}) for config in CONFIGS[:2]]
    network = make_network(decoder=configs[0])
    network.freeze_base()
    supernet = Supernet(network.train(), configs)
    train, _, val = loaders(parts)
    batch = next(iter(train))
    labels = torch.randint(3, batch.mask_B1HW.shape, generator=torch.Generator().manual_seed(0)).float()
    assert float(supernet.add_gradients(batch._replace(mask_B1HW=labels), TRAIN, group=1)["total"]) > 0
    for each in supernet.score([], val, device=torch.device("cpu")):
        assert {"iou/vein", "dice/lesion", "iou", "bce"} <= each.metrics.keys() and "iou_ref" not in each.metrics
