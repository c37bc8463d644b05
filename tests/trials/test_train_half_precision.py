"""A decoder trained with `train.precision=bf16` on a CPU: as good, and reproducible."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from venation.data.dataset import LeafDataset
from venation.data.loader import make_loader
from venation.data.manifest import Sample
from venation.models import buffer_reuse, deform, wide_conv
from venation.models.network import MultitaskNetwork
from venation.models.network_config import DecoderConfig, WidthsConfig
from venation.trials.train import EpochResult, fit
from venation.trials.trial_config import TrainConfig

from .conftest import CONFIG

Make = Callable[..., MultitaskNetwork]
Parts = tuple[list[Sample], list[Sample]]
DECODER = DecoderConfig(
    kind="mnsa",
    channels=8,
    full_size=True,
    widths=WidthsConfig(deform3=0.25, deform5=0.25, atrous2=0.25, atrous3=0.25, meanmax=0.25),
)
CONFIGS = {
    precision: TrainConfig(epochs=6, batch_size=8, lr=0.02, precision=precision) for precision in ("fp32", "bf16")
}


@pytest.fixture(autouse=True)
def _every_layer_is_a_wide_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the operations of MNSA's deepest levels everywhere, gradients included."""
    for module, name, value in (
        (wide_conv, "_MIN_WEIGHTS", 1),
        (wide_conv, "_MAX_WRITE_BOUND_POSITIONS", 0),
        (deform, "_MIN_IN_PLACE_WEIGHTS", 1),
        (deform, "_MAX_RECOMPUTED_CHANNELS", 0),
        (buffer_reuse, "_MIN_BYTES", 1),
    ):
        monkeypatch.setattr(module, name, value)


def results(
    network: MultitaskNetwork, parts: Parts, precision: str, *, checkpoint: Path | None = None, epochs: int = 0
) -> list[EpochResult]:
    """Train the decoder to the end or for a number of epochs."""
    loaders = [
        make_loader(
            LeafDataset(samples, ("level", "slant", "upright"), CONFIG, train=train), batch_size=8, train=train, seed=0
        )
        for samples, train in zip(parts, (True, False), strict=True)
    ]
    done: list[EpochResult] = []
    fitting = fit(
        network,
        *loaders,
        CONFIGS[precision],
        task="segment",
        device=torch.device("cpu"),
        monitor="iou",
        checkpoint=checkpoint,
    )
    for result in fitting:
        done.append(result)
        if len(done) == epochs:
            break
    return done


def test_half_precision_learns_as_well_as_single_precision(parts: Parts, make_network: Make) -> None:
    single = results(make_network(decoder=DECODER), parts, "fp32")
    half = results(make_network(decoder=DECODER), parts, "bf16")
    assert max(result.metrics["iou"] for result in single) > 0.5
    for one, other in zip(single, half, strict=True):
        assert other.losses["total"] == pytest.approx(one.losses["total"], rel=0.02)
    best = [max(result.metrics["iou"] for result in fitted) for fitted in (single, half)]
    assert best[1] > best[0] - 0.05


def test_weights_stay_in_single_precision(parts: Parts, make_network: Make) -> None:
    network = make_network(decoder=DECODER)
    results(network, parts, "bf16", epochs=1)
    assert {tensor.dtype for tensor in network.state_dict().values() if tensor.is_floating_point()} == {torch.float32}


def test_half_precision_is_reproducible_also_when_resumed(parts: Parts, make_network: Make, tmp_path: Path) -> None:
    whole, killed, resumed = (make_network(decoder=DECODER) for _ in range(3))
    results(whole, parts, "bf16")
    results(killed, parts, "bf16", checkpoint=tmp_path / "fit", epochs=2)
    results(resumed, parts, "bf16", checkpoint=tmp_path / "fit")
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
