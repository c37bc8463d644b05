"""The training loop on striped images: it learns, resumes bit for bit and reports errors."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from venation.data.dataset import Batch, LeafDataset
from venation.data.loader import Loader, make_loader
from venation.data.manifest import Sample
from venation.errors import DataError, UsageError, UserError
from venation.models.build import build_network
from venation.models.network import MultitaskNetwork
from venation.models.network_config import DecoderConfig, EncoderConfig, NetworkConfig
from venation.trials import epochs, train
from venation.trials.checkpoint import optimizer_tensors
from venation.trials.errors import TrialFailed
from venation.trials.train import EpochResult, finished_epochs, fit
from venation.trials.trial_config import TrainConfig

from .conftest import CONFIG, SIZE

CPU = torch.device("cpu")
CLASSES = ("level", "slant", "upright")
Make = Callable[..., MultitaskNetwork]
Parts = tuple[list[Sample], list[Sample]]
QUICK = TrainConfig(epochs=4, batch_size=8, lr=0.01, mask_weight=0.1)


def loaders(parts: Parts, *, seed: int = 0, batch_size: int = 8) -> tuple[Loader, Loader]:
    train_set = LeafDataset(parts[0], CLASSES, CONFIG.model_copy(update={"hflip": 0.5, "colour": 0.2}), train=True)
    val_set = LeafDataset(parts[1], CLASSES, CONFIG, train=False)
    return (
        make_loader(train_set, batch_size=batch_size, train=True, seed=seed),
        make_loader(val_set, batch_size=8, train=False, seed=seed),
    )


def run(network: MultitaskNetwork, parts: Parts, config: TrainConfig = QUICK, **kwargs: Any) -> Iterator[EpochResult]:
    options: dict[str, Any] = {"task": "classify", "device": CPU, "monitor": "accuracy", "checkpoint": None}
    return fit(network, *loaders(parts), config, **(options | kwargs))


def assert_same(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert torch.equal(tensor, right[name]), name


@pytest.fixture
def built_optimizers(monkeypatch: pytest.MonkeyPatch) -> list[torch.optim.Optimizer]:
    """Record every optimiser that a fit builds from now on."""
    built: list[torch.optim.Optimizer] = []
    original = train.build_optimizer

    def build(module: nn.Module, config: TrainConfig, device: torch.device) -> torch.optim.Optimizer:
        built.append(original(module, config, device))
        return built[-1]

    monkeypatch.setattr(train, "build_optimizer", build)
    return built


def test_a_classifier_learns_stripes(parts: Parts, make_network: Make) -> None:
    results = list(run(make_network(), parts, TrainConfig(epochs=12, batch_size=8, lr=0.01)))
    assert [result.epoch for result in results] == list(range(12))
    assert max(result.metrics["accuracy"] for result in results) >= 0.8
    assert results[-1].losses["total"] < results[0].losses["total"]


def test_accumulated_batches_equal_one_large_batch(parts: Parts) -> None:
    """21 images as 8 + 8 + 5, and as (4 + 4) + (4 + 4) + 5: the same steps without BatchNorm."""
    ends = []
    for batch_size, accumulate in ((8, 1), (4, 2)):
        torch.manual_seed(0)
        encoder = EncoderConfig(name="test_vit")
        network = build_network(NetworkConfig(encoder=encoder, num_classes=3, size=(SIZE, SIZE)))
        config = TrainConfig(epochs=2, optimizer="sgd", nesterov=True, lr=0.05, schedule="constant")
        config = config.model_copy(update={"batch_size": batch_size, "accumulate": accumulate})
        train_loader, val_loader = loaders(parts, batch_size=batch_size)
        list(fit(network, train_loader, val_loader, config, task="classify", device=CPU, monitor="logloss"))
        ends.append(network.state_dict())
    for name, tensor in ends[0].items():
        torch.testing.assert_close(tensor, ends[1][name], rtol=1e-4, atol=1e-5, msg=name)


def test_a_decoder_learns_stripes_and_the_base_is_unchanged(
    parts: Parts, make_network: Make, unet: DecoderConfig
) -> None:
    network = make_network(decoder=unet)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    config = TrainConfig(epochs=12, batch_size=8, lr=0.01, dice_weight=0.5)
    results = list(run(network, parts, config, task="segment", monitor="iou"))
    assert max(result.metrics["iou"] for result in results) > max(0.5, results[0].metrics["iou"])
    assert set(results[0].losses) == {"bce", "dice", "total"}
    base = {name for name in before if not name.startswith("decoder.")}
    assert_same({name: before[name] for name in base}, {name: network.state_dict()[name] for name in base})


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("killed_after", [1, 3])
def test_a_killed_fit_resumes_bit_for_bit(
    parts: Parts,
    make_network: Make,
    tmp_path: Path,
    built_optimizers: list[torch.optim.Optimizer],
    optimizer: str,
    killed_after: int,
) -> None:
    config = QUICK.model_copy(update={"optimizer": optimizer})
    whole_network = make_network()
    whole = list(run(whole_network, parts, config, checkpoint=tmp_path / "whole.safetensors"))

    path = tmp_path / "cut.safetensors"
    first = run(make_network(), parts, config, checkpoint=path)
    cut = [next(first) for _ in range(killed_after)]
    first.close()
    torch.rand(5)
    resumed_network = make_network(seed=9)
    cut += list(run(resumed_network, parts, config, checkpoint=path))

    assert [(r.epoch, r.losses, r.metrics, r.best) for r in cut] == [
        (r.epoch, r.losses, r.metrics, r.best) for r in whole
    ]
    assert_same(whole_network.state_dict(), resumed_network.state_dict())
    left, _, right = built_optimizers
    assert_same(optimizer_tensors(left), optimizer_tensors(right))
    assert optimizer_tensors(left)


def test_a_killed_decoder_fit_resumes_bit_for_bit(
    parts: Parts, make_network: Make, unet: DecoderConfig, tmp_path: Path
) -> None:
    options = {"task": "segment", "monitor": "iou"}
    whole = make_network(decoder=unet)
    list(run(whole, parts, **options))
    path = tmp_path / "c.safetensors"
    next(run(make_network(decoder=unet), parts, checkpoint=path, **options))
    resumed = make_network(decoder=unet)
    list(run(resumed, parts, checkpoint=path, **options))
    assert_same(whole.state_dict(), resumed.state_dict())
    with pytest.raises(UserError, match="another config"):
        next(run(make_network(decoder=unet, seed=1), parts, checkpoint=path, **options))


def test_a_finished_fit_only_loads_its_best_weights(parts: Parts, make_network: Make, tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    network = make_network()
    results = list(run(network, parts, checkpoint=path))
    again = make_network(seed=5)
    assert list(run(again, parts, checkpoint=path)) == []
    assert_same(network.state_dict(), again.state_dict())
    assert finished_epochs(path) == results


def test_the_network_ends_with_the_first_best_epoch(
    parts: Parts, make_network: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted = iter(
        [
            {"accuracy": 0.5, "logloss": 1.0},
            {"accuracy": 0.7, "logloss": 0.9},
            {"accuracy": 0.7, "logloss": 0.8},
            {"accuracy": 0.7, "logloss": 0.8},
        ]
    )
    network = make_network()
    seen: list[dict[str, Tensor]] = []

    def evaluate(*_: Any, **__: Any) -> dict[str, float]:
        seen.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
        return next(scripted)

    monkeypatch.setattr(epochs, "evaluate", evaluate)
    results = list(run(network, parts))
    assert [result.best for result in results] == [True, True, True, False]
    assert_same(network.state_dict(), seen[2])


def test_logloss_is_minimised(parts: Parts, make_network: Make) -> None:
    results = list(run(make_network(), parts, monitor="logloss"))
    losses = [result.metrics["logloss"] for result in results]
    assert [result.best for result in results] == [
        loss == min(losses[: index + 1]) for index, loss in enumerate(losses)
    ]


def test_bf16_trains_on_a_cpu(parts: Parts, make_network: Make) -> None:
    config = QUICK.model_copy(update={"precision": "bf16", "epochs": 1})
    (result,) = run(make_network(), parts, config)
    assert result.losses["total"] > 0


def test_a_loss_that_is_not_finite_fails_the_trial_and_is_named(parts: Parts, make_network: Make) -> None:
    network = make_network()
    with torch.no_grad():
        network.head.bias[0] = torch.nan
    with pytest.raises(TrialFailed, match="training ce became nan in epoch 0") as caught:
        next(run(network, parts))
    assert caught.value.cause == "nan"


class FailingLoader(Loader):
    """A loader that raises an error instead of yielding batches."""

    error: RuntimeError

    def __iter__(self) -> Iterator[Batch]:
        raise self.error


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_running_out_of_memory_repeatedly_fails_the_trial(
    parts: Parts, make_network: Make, error: RuntimeError
) -> None:
    train_loader, val_loader = loaders(parts)
    failing = FailingLoader(train_loader.dataset, batch_size=8, train=True, seed=0)
    failing.error = error
    with pytest.raises(
        TrialFailed, match=r"out of memory in epoch 0, one image at a time: lower data\.size$"
    ) as caught:
        next(fit(make_network(), failing, val_loader, QUICK, task="classify", device=CPU, monitor="accuracy"))
    assert caught.value.cause == "oom"
    failing.error = RuntimeError("a bug")
    with pytest.raises(RuntimeError, match="a bug"):
        next(fit(make_network(), failing, val_loader, QUICK, task="classify", device=CPU, monitor="accuracy"))


def test_invalid_arguments_are_refused(parts: Parts, make_network: Make) -> None:
    with pytest.raises(UsageError, match="`iou` is not a metric of this fit: choose one of accuracy"):
        next(run(make_network(), parts, monitor="iou"))
    with pytest.raises(UsageError, match="no decoder to train"):
        next(run(make_network(), parts, task="segment", monitor="iou"))
    with pytest.raises(DataError, match="training split has no images"):
        next(run(make_network(), ([], parts[1])))


def test_a_checkpoint_of_another_config_is_refused(parts: Parts, make_network: Make, tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    next(run(make_network(), parts, checkpoint=path))
    with pytest.raises(UserError, match="another config"):
        next(run(make_network(), parts, QUICK.model_copy(update={"lr": 0.02}), checkpoint=path))
