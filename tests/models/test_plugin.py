"""The plug-in module against the loops of tests/plugin_loops.py and the papers' statements."""

import numpy as np
import plugin_loops
import pytest
import torch
from torch import nn

from venation.models.build import build_network
from venation.models.network_config import EncoderConfig, NetworkConfig, PluginConfig
from venation.models.plugin import PluginModule
from venation.models.selector import select
from venation.trials.plugin_losses import plugin_losses, weighted_total
from venation.trials.trial_config import PluginLossConfig, TrainConfig

CHANNELS = (6, 8, 10, 10)
SIZES = ((8, 6), (4, 3), (2, 3), (2, 3))
LABELS = (4, 0, 2)
PIM = PluginConfig(width=8, keep=(8 / 9, 8 / 9, 8 / 9, 2 / 9), joint=4, positions="learned", dropout=0)
HERBS = PluginConfig(
    width=8,
    keep=(1 / 9, 2 / 9, 4 / 9, 1.0),
    joint=4,
    positions="learned",
    dropout=0,
    bottom_up=True,
    rule="image",
    pass_equal=False,
)
RECIPES = {
    "pim": (PIM, plugin_loops.Recipe((43, 11, 5, 1), 4, herbs=False)),
    "herbs": (HERBS, plugin_loops.Recipe((5, 3, 3, 6), 4, herbs=True)),
}
LOSSES = {
    "pim": TrainConfig(plugin=PluginLossConfig(stage=0.5, dropped=5, combined=1)),
    "herbs": TrainConfig(plugin=PluginLossConfig(stage=0.3, dropped=5, combined=1, selected=0.1, refine=1.375)),
}
HEAT = 64 * 0.5**2


def _module(config, *, channels=CHANNELS, sizes=SIZES):
    torch.manual_seed(0)
    module = PluginModule(channels, sizes, config, num_classes=5, tokens=False)
    # Other than the initial values, which would hide errors: equal edges, unit scales, no
    # image-dependent edges.
    for name, parameter in module.named_parameters():
        if name == "combiner.alpha":
            nn.init.constant_(parameter, 0.7)
        elif "norm" in name or ".1." in name or "adjacency" in name:
            nn.init.uniform_(parameter, 0.2, 1.0)
        elif parameter.ndim == 2:
            nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
    return module


def _levels(*, channels=CHANNELS, sizes=SIZES, images=3):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(images, c, *size, generator=generator) for c, size in zip(channels, sizes, strict=True)]


@pytest.fixture(scope="module", params=["pim", "herbs"])
def both(request):
    """Return output, loss and gradients in training mode, of the module and of the loops."""
    config, recipe = RECIPES[request.param]
    module = _module(config)
    output = module(_levels())
    losses = LOSSES[request.param]
    total = weighted_total(plugin_losses(output, torch.tensor(LABELS), losses, epoch=29), losses.plugin)
    total.backward()
    weights = {k: v.detach().double().requires_grad_(v.requires_grad) for k, v in module.named_parameters()}
    wanted = plugin_loops.answer(weights, [level.double() for level in _levels()], recipe)
    selected = losses.plugin.selected
    loss = plugin_loops.pim_loss(wanted, LABELS, stage=losses.plugin.stage, dropped=5, selected=selected)
    if recipe.herbs:
        loss = loss + 1.375 * plugin_loops.refine_loss(wanted, HEAT)
    loss.backward()
    return module, output, total, weights, wanted, loss


def _stacked(rows):
    return [torch.stack(level).float() for level in rows]


def test_every_output_equals_the_loops(both):
    _, output, _, _, wanted, _ = both
    torch.testing.assert_close(list(output.level_logits), _stacked(wanted.level), rtol=0, atol=1e-5)
    torch.testing.assert_close(list(output.first_logits), _stacked(wanted.first), rtol=0, atol=1e-5)
    torch.testing.assert_close(output.combined_BN, torch.stack(wanted.combined).float(), rtol=0, atol=1e-5)
    torch.testing.assert_close(output.features_BD, torch.stack(wanted.features).float(), rtol=0, atol=1e-5)
    assert [kept.tolist() for kept in output.kept] == wanted.kept
    assert output.sizes == SIZES


def test_logits_are_split_into_kept_and_dropped(both):
    _, output, _, _, wanted, _ = both
    for level, logits in enumerate(_stacked(wanted.level)):
        for image in range(len(LABELS)):
            kept, dropped = wanted.kept[level][image], wanted.dropped[level][image]
            torch.testing.assert_close(output.kept_logits[level][image], logits[image, kept], rtol=0, atol=1e-5)
            torch.testing.assert_close(output.dropped_logits[level][image], logits[image, dropped], rtol=0, atol=1e-5)


def test_the_probability_is_the_mean_of_the_heads(both):
    _, output, _, _, wanted, _ = both
    expected = torch.stack(plugin_loops.probability(wanted)).float()
    torch.testing.assert_close(output.log_probability_BN.exp(), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(expected.sum(dim=1), torch.ones(3))


def test_the_total_loss_and_all_gradients_equal_the_loops(both):
    module, _, total, weights, _, loss = both
    assert total.item() == pytest.approx(loss.item(), rel=1e-6)
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(parameter.grad, weights[name].grad.float(), rtol=1e-4, atol=1e-5, msg=name)


def test_the_probability_is_finite_for_logits_that_overflow_exp():
    module = _module(PIM).eval()
    with torch.no_grad():
        output = module(_levels())._replace(combined_BN=torch.tensor([[1e4, 0, 0, 0, 0]]).expand(3, 5))
    log_probability = output.log_probability_BN
    assert torch.isfinite(log_probability).all()
    torch.testing.assert_close(log_probability.exp().sum(dim=1), torch.ones(3))
    sure = output._replace(level_logits=(torch.tensor([[[0.0, -500.0]]]),), combined_BN=torch.tensor([[0.0, -500.0]]))
    assert sure.log_probability_BN[0, 1] == -500


def test_the_rules_rank_by_the_positions_class_or_by_the_images():
    # The image's class is that of the mean logits: 0 here (9, 1, 1 against 0, 8, 2), though most
    # positions predict 1.
    logits = torch.tensor([[[9.0, 0, 0], [1, 8, 0], [1, 2, 0]]])
    features = torch.arange(3.0)[None, :, None]
    own = select(logits, features, 2, rule="own")
    assert own.kept_BK.tolist() == [[0, 1]]
    image = select(logits, features, 2, rule="image")
    assert image.kept_BK.tolist() == [[0, 2]]
    assert image.features_BKD.flatten().tolist() == [0, 2]
    assert image.kept_logits_BKN.tolist() == [[[9, 0, 0], [1, 2, 0]]]
    assert image.dropped_logits_BSN.tolist() == [[[1, 8, 0]]]


def test_half_precision_gives_nearly_the_same_output():
    module = _module(HERBS)
    wanted = module(_levels())
    with torch.autocast("cpu", torch.bfloat16):
        output = module(_levels())
        log_probability = output.log_probability_BN
    assert log_probability.dtype == torch.float32
    torch.testing.assert_close(log_probability, wanted.log_probability_BN, rtol=0, atol=0.5)
    plugin_losses(output, torch.tensor(LABELS), TrainConfig(), epoch=0)["combined"].backward()
    assert all(torch.isfinite(p.grad).all() for p in module.combiner.parameters())


def test_equal_scores_keep_the_order_of_their_positions():
    module = _module(PIM).eval()
    with torch.no_grad():
        output = module([torch.zeros_like(level) + 0.5 for level in _levels()])
    # Learned mixing makes positions of the upper levels differ; those of the deepest level are
    # equal.
    assert output.kept[3].tolist() == [[0]] * 3
    module = _module(PIM.model_copy(update={"positions": "resize", "keep": (1.0,) * 4})).eval()
    with torch.no_grad():
        output = module([torch.zeros_like(level) + 0.5 for level in _levels()])
    assert [kept.tolist() for kept in output.kept] == [[list(range(h * w))] * 3 for h, w in SIZES]
    assert [dropped.shape for dropped in output.dropped_logits] == [(3, 0, 5)] * 4


def test_the_graph_starts_as_specified_and_zero_alpha_ignores_queries_and_keys():
    torch.manual_seed(0)
    module = PluginModule(CHANNELS, SIZES, PIM, num_classes=5, tokens=False)
    nodes = (43 + 11 + 5 + 1) // 4
    expected = np.full((nodes, nodes), 0.01) + 0.01 * np.eye(nodes)
    np.testing.assert_allclose(module.combiner.adjacency.detach().numpy(), expected, rtol=1e-6)
    assert module.combiner.alpha.item() == 0
    module(_levels()).combined_BN.square().sum().backward()
    for part in (module.combiner.query, module.combiner.key):
        assert part.weight.grad.abs().sum() == 0
    assert module.combiner.alpha.grad.abs().sum() > 0
    assert module.combiner.graph.weight.grad.abs().sum() > 0


def test_dropout_comes_after_the_features():
    module = _module(PIM.model_copy(update={"dropout": 0.9}))
    output = module(_levels())
    dry = module.combiner.classifier(output.features_BD)
    assert (output.features_BD != 0).all()
    assert not torch.allclose(output.combined_BN, dry)
    module.eval()
    output = module(_levels())
    torch.testing.assert_close(output.combined_BN, module.combiner.classifier(output.features_BD))


@pytest.mark.parametrize("encoder", ["test_resnet", "test_vit"])
@pytest.mark.parametrize("preset", [PIM, HERBS], ids=["pim", "herbs"])
def test_a_network_with_the_module_trains_on_images_that_are_not_square(encoder, preset):
    plugin = preset.model_copy(update={"keep": (0.5, 0.5), "positions": "auto"})
    config = NetworkConfig(
        encoder=EncoderConfig(name=encoder), gate="none", plugin=plugin, num_classes=3, size=(64, 96)
    )
    network = build_network(config)
    assert network.head is None
    output = network(torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0)))
    assert len(output.plugin.kept) == 2
    assert output.features_BC.shape == (2, 8)
    torch.testing.assert_close(output.logits_BN, output.plugin.log_probability_BN)
    losses = TrainConfig(plugin=PluginLossConfig(refine=1.0))
    weighted_total(plugin_losses(output.plugin, torch.tensor([0, 2]), losses, epoch=0), losses.plugin).backward()
    assert [name for name, p in network.plugin.named_parameters() if p.grad is None] == []
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in network.encoder.parameters())
