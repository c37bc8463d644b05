"""Latency predictions against their sums, and measurements that leave the network unchanged."""

import random

import pytest
import torch

from venation.models.build import build_network
from venation.models.network_config import DecoderConfig, EncoderConfig, NetworkConfig, WidthsConfig
from venation.trials.latency import device_name, measure_config, measure_latency, predict_latency

CPU = torch.device("cpu")


def make_config(kind: str = "mnsa", **widths: float) -> NetworkConfig:
    decoder = DecoderConfig.model_validate({"kind": kind, "channels": 16, "widths": widths})
    return NetworkConfig(encoder=EncoderConfig(name="test_resnet"), decoder=decoder, num_classes=3, size=(32, 32))


class Machine:
    """A simulated device on which the latencies of the branches add up."""

    default_latency = 100 + (40 + 80 + 9 + 10 + 1) / 8

    def __init__(self) -> None:
        self.calls: list[NetworkConfig] = []

    def __call__(self, config: NetworkConfig) -> float:
        self.calls.append(config)
        cost = {"deform3": 40.0, "deform5": 80.0, "atrous2": 9.0, "atrous3": 10.0, "meanmax": 1.0}
        return 100.0 + sum(cost[name] * width for name, width in config.decoder.widths)


def test_an_additive_latency_is_predicted_exactly_from_one_change_at_a_time() -> None:
    machine = Machine()
    config = make_config(deform3=0.25, atrous2=0, meanmax=0.5)
    assert predict_latency(config, machine) == pytest.approx(100 + 10 + 10 + 0 + 1.25 + 0.5)
    assert machine.calls == [
        make_config(),
        make_config(deform3=0.25),
        make_config(atrous2=0),
        make_config(meanmax=0.5),
    ]


def test_the_243_configs_of_the_paper_need_11_measurements() -> None:
    machine = Machine()
    widths = [1 / 16, 1 / 8, 1 / 4]
    for index in range(243):
        places = [index // 3**branch % 3 for branch in range(5)]
        config = make_config(**{n: widths[p] for n, p in zip(WidthsConfig.model_fields, places, strict=True)})
        assert predict_latency(config, machine) == pytest.approx(Machine()(config))
    assert len(set(machine.calls)) == 11


def test_joint_costs_of_branches_are_predicted_on_average() -> None:
    def machine(config: NetworkConfig) -> float:
        return 100.0 + 50 * sum(width for _, width in config.decoder.widths) ** 2

    rng = random.Random(0)
    off = []
    for _ in range(200):
        # The widths are symmetric around the default.
        widths = {name: 0.125 + rng.choice([-0.0625, 0.0, 0.0625]) for name in WidthsConfig.model_fields}
        config = make_config(**widths)
        off.append(predict_latency(config, machine) - machine(config))
    assert abs(sum(off) / len(off)) < 0.2 and max(map(abs, off)) > 1, "a pair of branches in common is missed, unbiased"


def test_a_network_without_branches_is_measured_directly() -> None:
    machine = Machine()
    assert predict_latency(make_config("unet", deform3=0.25), machine) == machine.default_latency
    assert machine.calls == [make_config("unet")], "widths that it does not read make no second entry"


def test_a_measurement_runs_the_whole_network_and_leaves_it_unchanged() -> None:
    network = build_network(make_config(deform3=0.25))
    assert network.decoder is not None
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    seen: list[tuple[torch.Size, bool]] = []
    hooks = [
        network.encoder.register_forward_pre_hook(lambda _, args: seen.append((args[0].shape, network.training))),
        network.decoder.register_forward_hook(lambda *_: seen.append((torch.Size(), network.training))),
    ]
    assert measure_latency(network, (32, 48), CPU) > 0
    for hook in hooks:
        hook.remove()
    assert set(seen) == {(torch.Size((1, 3, 32, 48)), False), (torch.Size(), False)} and len(seen) >= 10
    assert network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_a_config_is_measured_without_its_weights() -> None:
    config = make_config()
    wanted = config.model_copy(update={"encoder": EncoderConfig(name="test_resnet", weights="/no/such.safetensors")})
    assert measure_config(wanted, CPU) > 0
    assert device_name(CPU).startswith("cpu of ")


def test_side_heads_do_not_change_the_measured_config() -> None:
    machine = Machine()
    for kind in ("mnsa", "unet"):
        plain = make_config(kind)
        supervised = plain.model_copy(update={"decoder": plain.decoder.model_copy(update={"supervise": True})})
        assert predict_latency(supervised, machine) == predict_latency(plain, machine)
        image_13HW = torch.zeros(1, 3, 32, 32)
        outputs = [build_network(config).eval()(image_13HW) for config in (plain, supervised)]
        assert [output.side_logits for output in outputs] == [(), ()]
    assert set(machine.calls) == {make_config("mnsa"), make_config("unet")}
