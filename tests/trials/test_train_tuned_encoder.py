"""The training of a decoder with a copy of the base's encoder."""

from collections.abc import Callable
from pathlib import Path

import torch

from venation.models.network import MultitaskNetwork
from venation.models.network_config import DecoderConfig
from venation.models.tuned_encoder import TunedEncoderDecoder
from venation.trials.parameter_groups import LR_SCALE, parameter_groups
from venation.trials.trial_config import TrainConfig

from .test_train import Parts, assert_same, run

Make = Callable[..., MultitaskNetwork]
TUNED = DecoderConfig(kind="unet", channels=8, full_size=True, tune_encoder=True)
QUICK = TrainConfig(epochs=3, batch_size=8, lr=0.01, encoder_lr=0.3, dice_weight=1.0)


def decoder_of(network: MultitaskNetwork) -> TunedEncoderDecoder:
    assert isinstance(network.decoder, TunedEncoderDecoder)
    return network.decoder


def test_the_copy_starts_from_the_base_and_only_it_changes(parts: Parts, make_network: Make) -> None:
    network = make_network(decoder=TUNED)
    base = {name: tensor.clone() for name, tensor in network.encoder.state_dict().items()}
    config = QUICK.model_copy(update={"frozen_bn": True, "lr": 1e-12, "epochs": 1, "weight_decay": 0.0})
    list(run(network, parts, config, task="segment", monitor="iou"))
    for name, tensor in decoder_of(network).encoder.state_dict().items():
        torch.testing.assert_close(tensor, base[name], rtol=0, atol=1e-9)
    results = list(run(network, parts, QUICK, task="segment", monitor="iou"))
    assert_same(base, network.encoder.state_dict())
    tuned = decoder_of(network).encoder.state_dict()
    assert all(not torch.equal(tuned[name], base[name]) for name, _ in network.encoder.named_parameters())
    assert results[-1].losses["bce"] < results[0].losses["bce"]


def test_the_factor_on_the_encoders_rate_is_for_the_copy(make_network: Make) -> None:
    decoder = decoder_of(make_network(decoder=TUNED))
    groups = parameter_groups(decoder, QUICK)
    scale_of = {id(parameter): group[LR_SCALE] for group in groups for parameter in group["params"]}
    assert {scale_of[id(parameter)] for parameter in decoder.encoder.parameters()} == {0.3}
    assert {scale_of[id(parameter)] for parameter in decoder.decoder.parameters()} == {1.0}


def test_a_resumed_training_ends_bit_for_bit_as_an_unbroken_one(
    parts: Parts, make_network: Make, tmp_path: Path
) -> None:
    whole, broken = make_network(decoder=TUNED), make_network(decoder=TUNED)
    list(run(whole, parts, QUICK, task="segment", monitor="iou"))
    path = tmp_path / "checkpoint.safetensors"
    first = run(broken, parts, QUICK, task="segment", monitor="iou", checkpoint=path)
    next(first)
    first.close()
    again = make_network(decoder=TUNED)
    list(run(again, parts, QUICK, task="segment", monitor="iou", checkpoint=path))
    assert_same(whole.state_dict(), again.state_dict())
