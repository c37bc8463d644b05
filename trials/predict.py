"""Run a network in torch to predict images; ``image_predictor`` does the rest.

Shapes: B batch, K classes, C channels, H W the network's input, h w a map of it.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.data_config import DataConfig
from ..models.memory_format import place
from ..models.network import MultitaskNetwork
from ..models.plugin import PluginOutput
from .flip_average import FlipAverage, average_flips, average_within_memory
from .flips import Booster, Flip
from .greedy_ensemble import LevelRecorder, mean_heat
from .image_predictor import ImagePredictor
from .runner import Array, Outputs


class Predictor(ImagePredictor):
    """An ``ImagePredictor`` of a network in torch, on ``device``, by default the CPU."""

    def __init__(
        self,
        network: MultitaskNetwork,
        classes: Sequence[str],
        config: DataConfig,
        *,
        mask_config: DataConfig | None = None,
        booster: Booster | None = None,
        device: torch.device | None = None,
        flips: bool = False,
    ) -> None:
        self.device = device or torch.device("cpu")
        self.network = place(network, self.device).eval()
        runner = TorchRunner(self.network, self.device)
        super().__init__(runner, classes, config, mask_config=mask_config, booster=booster, flips=flips)


class TorchRunner:
    """A network in eval mode and the device that it is on; see ``Runner``."""

    draws_heat = True

    def __init__(self, network: MultitaskNetwork, device: torch.device) -> None:
        self._network = network
        self._device = device
        self.num_classes = network.num_classes
        self.has_masks = network.decoder is not None
        self.selects = network.plugin is not None
        self.mask_classes = network.mask_classes

    def run(
        self, x_BCHW: Array, *, flips: tuple[Flip, ...], segment: bool, heat: bool = False, kept: bool = False
    ) -> Outputs:
        """Run the network once for each flip, in halves if memory does not hold the batch.

        For heat maps the batch stays whole.
        """
        image_BCHW = torch.from_numpy(x_BCHW).to(self._device)
        with torch.no_grad(), LevelRecorder(self._network, enabled=heat) as recorder:
            run = average_flips if heat else average_within_memory
            found = run(self._network, image_BCHW, flips=flips, segment=segment)
        parts = [found] if isinstance(found, FlipAverage) else found

        def heat_of(class_B: NDArray[np.int64]) -> Array:
            return _array(mean_heat(recorder, torch.from_numpy(class_B).to(self._device)))

        masks = [part.mask_logits_B1hw for part in parts if part.mask_logits_B1hw is not None]
        plugins = [part.unflipped.plugin for part in parts if part.unflipped.plugin is not None]
        ranks = zip(*map(rank_maps, plugins), strict=True) if kept and plugins else None
        return Outputs(
            _array(torch.cat([part.probability_BN for part in parts])),
            tuple(_array(torch.cat(features)) for features in zip(*(part.features for part in parts), strict=True)),
            _array(torch.cat(masks)) if masks else None,
            None if ranks is None else tuple(_array(torch.cat(level)) for level in ranks),
            heat_of if heat else None,
        )


def rank_maps(output: PluginOutput) -> tuple[Tensor, ...]:
    """Return the ranks of selected positions, level by level, ``(B, h, w)`` on the CPU.

    The position of rank r, counted from 0, of K selected ones has the value (K - r) / K; a dropped
    position has 0.
    """
    maps = []
    for kept_BK, (height, width) in zip(output.kept, output.sizes, strict=True):
        count = kept_BK.shape[1]
        rank_BS = torch.zeros(len(kept_BK), height * width)
        share_BK = (torch.arange(count, 0, -1) / count).expand(len(kept_BK), count)
        maps.append(rank_BS.scatter(1, kept_BK.cpu(), share_BK).view(-1, height, width))
    return tuple(maps)


def _array(tensor: Tensor) -> Array:
    array: Array = tensor.float().cpu().numpy()
    return array
