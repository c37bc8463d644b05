"""The plug-in module with levels of any number and size: resizing, learned mixing, errors."""

import numpy as np
import pytest
import torch

from venation.errors import UsageError
from venation.models.combiner import Combiner
from venation.models.network_config import PluginConfig
from venation.models.plugin import PluginModule
from venation.models.positions import LearnedMix, ResizeMix
from venation.models.selector import kept_counts

CHANNELS = (4, 4, 4)
SIZES = ((8, 6), (4, 3), (4, 3))
CONFIG = PluginConfig(width=4, keep=(0.5, 0.5, 0.5), joint=4)


def _module(*, channels=CHANNELS, sizes=SIZES, tokens=True, **changes):
    torch.manual_seed(0)
    config = CONFIG.model_copy(update=changes)
    return PluginModule(channels, sizes, config, num_classes=3, tokens=tokens)


def _levels(sizes, *, channels=CHANNELS):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(2, c, *size, generator=generator) for c, size in zip(channels, sizes, strict=True)]


def _kinds(pyramid):
    return [type(mix) for mix in pyramid.mixes]


def _bilinear(rows, target):
    """Resize with half-pixel centres: output t reads (t + 0.5) / ratio - 0.5, clamped."""
    for axis in (0, 1):
        count, ratio = rows.shape[axis], rows.shape[axis] / target[axis]
        place = np.clip((np.arange(target[axis]) + 0.5) * ratio - 0.5, 0, count - 1)
        below = np.floor(place).astype(int)
        above = np.minimum(below + 1, count - 1)
        share = (place - below).reshape(-1, *[1] * (2 - axis))
        rows = np.take(rows, below, axis) * (1 - share) + np.take(rows, above, axis) * share
    return rows


def test_resizing_to_a_finer_level_is_bilinear():
    rows = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    got = ResizeMix()(torch.from_numpy(rows.reshape(1, 12, 5)), (3, 4), (7, 8))
    np.testing.assert_allclose(got[0].numpy().reshape(7, 8, 5), _bilinear(rows, (7, 8)), atol=1e-6)


def test_resizing_to_a_coarser_level_averages():
    rows = np.random.default_rng(0).normal(size=(6, 9, 5)).astype(np.float32)
    got = ResizeMix()(torch.from_numpy(rows.reshape(1, 54, 5)), (6, 9), (3, 3))
    np.testing.assert_allclose(got[0].numpy().reshape(3, 3, 5), rows.reshape(3, 2, 3, 3, 5).mean((1, 3)), atol=1e-6)


def test_tokens_use_learned_mixing_and_maps_use_resizing():
    assert _kinds(_module(tokens=True).top_down) == [ResizeMix, LearnedMix]  # equal sizes pass, as in PIM
    assert _kinds(_module(tokens=True, pass_equal=False).top_down) == [LearnedMix, LearnedMix]
    assert _kinds(_module(tokens=False).top_down) == [ResizeMix, ResizeMix]
    assert _kinds(_module(tokens=False, positions="learned").top_down) == [ResizeMix, LearnedMix]
    assert _kinds(_module(tokens=True, positions="resize").top_down) == [ResizeMix, ResizeMix]
    herbs = _module(tokens=True, bottom_up=True)
    assert _kinds(herbs.bottom_up) == [LearnedMix, LearnedMix]  # always learned, as in HERBS
    assert _kinds(_module(tokens=False, bottom_up=True).bottom_up) == [ResizeMix, ResizeMix]


def test_the_fused_levels_cascade_both_ways():
    module = _module(tokens=False, bottom_up=True)
    down = [torch.full((1, 4, h * w), value) for value, (h, w) in zip((1.0, 10.0, 100.0), SIZES, strict=True)]
    for pyramid in (module.top_down, module.bottom_up):
        pyramid.projections = torch.nn.ModuleList([torch.nn.Identity()] * 3)
    fused = module.top_down([x.mT for x in down], SIZES)
    assert [level.unique().item() for level in fused] == [111, 110, 100]
    assert [level.unique().item() for level in module.bottom_up(fused, SIZES)] == [111, 221, 321]


def test_mean_ranks_are_chunks_of_the_ranked_positions():
    torch.manual_seed(0)
    combiner = Combiner(4, 3, positions=12, nodes=3, ranks="mean", dropout=0.0).eval()
    learned = Combiner(4, 3, positions=12, nodes=3, ranks="learned", dropout=0.0).eval()
    learned.load_state_dict(combiner.state_dict(), strict=False)
    with torch.no_grad():
        learned.pool_ranks.weight.copy_(torch.eye(3).repeat_interleave(4, dim=1) / 4)
        learned.pool_ranks.bias.zero_()
        x = torch.randn(2, 12, 4)
        torch.testing.assert_close(combiner(x), learned(x))


def test_without_learned_mixing_one_module_reads_any_size():
    module = _module(tokens=False, ranks="mean", bottom_up=True).eval()
    sizes = ((10, 14), (5, 7), (3, 4))
    with torch.no_grad():
        output = module(_levels(sizes))
    assert [level.shape[1] for level in output.kept] == [70, 18, 6]
    assert output.sizes == sizes
    assert output.log_probability_BN.shape == (2, 3)


@pytest.mark.parametrize("changes", [{}, {"ranks": "mean"}, {"positions": "resize"}])
def test_learned_mixing_rejects_other_sizes(changes):
    with pytest.raises(UsageError, match=r"reads levels of 8x6, 4x3, 4x3, these are 8x8, 4x4, 4x4: .*resize.*mean"):
        _module(**changes)(_levels(((8, 8), (4, 4), (4, 4))))


def test_the_deepest_levels_are_read():
    module = _module(channels=(9, *CHANNELS), sizes=((16, 12), *SIZES))
    output = module(_levels(((16, 12), *SIZES), channels=(9, *CHANNELS)))
    assert output.sizes == SIZES


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keep": (0.5,) * 4}, r"plugin.keep has 4 entries, but the encoder has 3 levels"),
        (
            {"keep": (49, 0.5, 0.5)},
            r"plugin.keep\[0\]=49, but its level of 8x6 has 48 positions: give at most that, or",
        ),
        ({"keep": (0.5, 2.5, 0.5)}, r"plugin.keep\[1\]=2.5 is neither a fraction nor a number"),
        ({"keep": (0.5, 0.5, 0.0)}, r"plugin.keep\[2\]=0 is neither"),
        ({"keep": (-1, 0.5, 0.5)}, r"plugin.keep\[0\]=-1 is neither"),
        ({"keep": (float("nan"), 0.5, 0.5)}, r"plugin.keep\[0\]=nan is neither"),
        ({"keep": (float("inf"), 0.5, 0.5)}, r"plugin.keep\[0\]=inf is neither"),
        ({"joint": 64}, r"plugin.joint=64, but only 36 positions are selected in all"),
        ({"width": 3}, r"plugin.width=3 is too narrow"),
    ],
)
def test_unfit_plugin_fields_are_one_line_errors(changes, message):
    with pytest.raises(UsageError, match=message) as error:
        _module(**changes)
    assert "\n" not in str(error.value)


def test_shares_round_and_keep_at_least_one_position():
    assert kept_counts((0.9, 0.001, 1.0), SIZES) == (43, 1, 12)
    assert kept_counts((48, 2, 12), SIZES) == (48, 2, 12)
