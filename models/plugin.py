"""The plug-in module of PIM and HERBS: pyramids, position heads, selector and combiner.

Shapes: B batch, C a level's channels, N classes, H heads, D the module's width, S positions of a
level, K selected ones, M positions of all images, h w a level's size.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from ..errors import UsageError
from .combiner import Combiner
from .network_config import PluginConfig
from .positions import Size, bottom_up, top_down
from .selector import kept_counts, select

# The combiner's queries and keys have a quarter of the width.
_MIN_WIDTH = 4

_T = TypeVar("_T")


class PluginOutput(NamedTuple):
    """The plug-in module's outputs, one entry per level, shallow to deep.

    ``level_logits`` are the last pyramid's (B, S, N). ``first_logits`` are the first pyramid's if
    there are two (HERBS), else empty. ``kept`` are the selected positions (B, K), best first, as
    row-major indices into ``sizes``. ``kept_logits`` (B, K, N) and ``dropped_logits`` (B, S - K, N)
    are ``level_logits`` of the selected and of the other positions. ``combined_BN`` are the
    combiner's logits, and ``features_BD`` the features that they are computed from, before the
    dropout.
    """

    level_logits: tuple[Tensor, ...]
    first_logits: tuple[Tensor, ...]
    kept: tuple[Tensor, ...]
    kept_logits: tuple[Tensor, ...]
    dropped_logits: tuple[Tensor, ...]
    combined_BN: Tensor
    features_BD: Tensor
    sizes: tuple[Size, ...]

    @property
    def log_heads_HBN(self) -> Tensor:
        """Log-probabilities of the H heads: each level's position mean, and the combiner.

        They are those of the last pyramid, then of the first one if there are two, both shallow to
        deep, then the combiner.
        """
        means = [logits_BSN.float().mean(dim=1) for logits_BSN in (*self.level_logits, *self.first_logits)]
        return torch.stack([*means, self.combined_BN.float()]).log_softmax(dim=2)

    @property
    def head_rows_BM(self) -> Tensor:
        """Probabilities of all heads, one head after the other: ``(B, H * N)``."""
        return self.log_heads_HBN.exp().permute(1, 0, 2).flatten(1)

    @property
    def head_names(self) -> tuple[str, ...]:
        """Names of the heads, in the order of ``log_heads_HBN``."""
        levels = [f"level{number + 1}" for number in range(len(self.level_logits))]
        firsts = [f"first{number + 1}" for number in range(len(self.first_logits))]
        return (*levels, *firsts, "combiner")

    @property
    def log_probability_BN(self) -> Tensor:
        """Logarithm of the heads' mean probabilities.

        The mean ranks classes as PIM's sum over five heads (section 10) and HERBS's over nine
        (section 7).
        """
        heads_HBN = self.log_heads_HBN
        return heads_HBN.logsumexp(dim=0) - math.log(len(heads_HBN))


class PositionHead(nn.Sequential):
    """Linear, BatchNorm over batch and positions, ReLU, Linear: logits per position.

    PIM, section 4.
    """

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, num_classes))

    def forward(self, x_BSD: Tensor) -> Tensor:
        """Classify positions ``(B, S, D)``: logits ``(B, S, N)``."""
        x_MD = x_BSD.flatten(0, 1)
        for layer in self:
            x_MD = layer(x_MD)
        return x_MD.view(-1, x_BSD.shape[1], x_MD.shape[1])


class PluginModule(nn.Module):
    """Pyramids, heads, selector and combiner for given levels.

    Learned mixing of positions or ranks fits one image size only. With ``resize`` and ``mean`` the
    module reads levels of any size, and fractions in ``keep`` scale with it.
    """

    def __init__(
        self,
        channels: Sequence[int],
        sizes: Sequence[Size],
        config: PluginConfig,
        *,
        num_classes: int,
        tokens: bool,
    ) -> None:
        """Build the module from ``channels`` and ``sizes`` of all the encoder's levels.

        It reads the deepest ``len(keep)`` levels. ``tokens`` is True for a transformer's levels.
        Raises UsageError for an encoder with fewer levels, for entries of ``keep`` that do not fit
        them, for a combiner without a node and for a width below 4.
        """
        super().__init__()
        self.config = config
        self.sizes = tuple(_deepest(sizes, config))
        learned = config.positions == "learned" or (config.positions == "auto" and tokens)
        self.any_size = not learned and config.ranks == "mean"
        width = _checked_width(config)
        counts = kept_counts(config.keep, self.sizes)
        read = _deepest(channels, config)
        self.top_down = top_down(read, self.sizes, width, learned=learned, pass_equal=config.pass_equal)
        self.bottom_up = bottom_up(self.sizes, width, learned=learned) if config.bottom_up else None
        self.first_heads = _heads(len(counts) if config.bottom_up else 0, width, num_classes)
        self.heads = _heads(len(counts), width, num_classes)
        self.combiner = Combiner(
            width,
            num_classes,
            positions=sum(counts),
            nodes=_num_nodes(counts, config),
            ranks=config.ranks,
            dropout=config.dropout,
        )

    def forward(self, levels: Sequence[Tensor]) -> PluginOutput:
        """Run the deepest of all encoder levels, each (B, C, h, w), through the module.

        Raises UsageError for levels of another size than the module was built for, unless it takes
        any size.
        """
        read = _deepest(levels, self.config)
        sizes = tuple((int(level.shape[2]), int(level.shape[3])) for level in read)
        if sizes != self.sizes and not self.any_size:
            raise UsageError(
                f"the plug-in module reads levels of {_format_sizes(self.sizes)}, these are {_format_sizes(sizes)}: "
                "give images of data.size, or train with plugin.positions=resize and plugin.ranks=mean"
            )
        fused = self.top_down([level.flatten(2).mT for level in read], sizes)
        first_logits = [head(t_BSD) for head, t_BSD in zip(self.first_heads, fused, strict=False)]
        if self.bottom_up is not None:
            fused = self.bottom_up(fused, sizes)
        return self._select_and_combine(fused, first_logits, sizes)

    def _select_and_combine(
        self, fused: Sequence[Tensor], first_logits: Sequence[Tensor], sizes: tuple[Size, ...]
    ) -> PluginOutput:
        """Apply heads, selector and combiner to the last pyramid's levels ``(B, S, D)``."""
        level_logits = [head(u_BSD) for head, u_BSD in zip(self.heads, fused, strict=True)]
        selections = [
            select(logits_BSN, u_BSD, count, rule=self.config.rule)
            for logits_BSN, u_BSD, count in zip(level_logits, fused, kept_counts(self.config.keep, sizes), strict=True)
        ]
        combined = self.combiner(torch.cat([selection.features_BKD for selection in selections], dim=1))
        return PluginOutput(
            level_logits=tuple(level_logits),
            first_logits=tuple(first_logits),
            kept=tuple(selection.kept_BK for selection in selections),
            kept_logits=tuple(selection.kept_logits_BKN for selection in selections),
            dropped_logits=tuple(selection.dropped_logits_BSN for selection in selections),
            combined_BN=combined.logits_BN,
            features_BD=combined.features_BD,
            sizes=sizes,
        )


def _heads(count: int, width: int, num_classes: int) -> nn.ModuleList:
    return nn.ModuleList(PositionHead(width, num_classes) for _ in range(count))


def _deepest(levels: Sequence[_T], config: PluginConfig) -> Sequence[_T]:
    wanted = len(config.keep)
    if wanted > len(levels):
        raise UsageError(
            f"plugin.keep has {wanted} entries, but the encoder has {len(levels)} levels: "
            "give at most one entry per level, or choose another encoder"
        )
    return levels[-wanted:]


def _checked_width(config: PluginConfig) -> int:
    if config.width < _MIN_WIDTH:
        raise UsageError(f"plugin.width={config.width} is too narrow for a plug-in module: give at least {_MIN_WIDTH}")
    return config.width


def _num_nodes(counts: Sequence[int], config: PluginConfig) -> int:
    """Return the number of graph nodes: the selected positions over ``joint``, rounded down."""
    nodes = sum(counts) // config.joint
    if nodes == 0:
        raise UsageError(
            f"plugin.joint={config.joint}, but only {sum(counts)} positions are selected in all: "
            "give a smaller plugin.joint, or keep more"
        )
    return nodes


def _format_sizes(sizes: Sequence[Size]) -> str:
    return ", ".join(f"{height}x{width}" for height, width in sizes)
