"""Dilated convolutions whose weights get right gradients on a CPU in half precision."""

import torch
from torch import Tensor, nn


class DilatedConv2d(nn.Conv2d):
    """``nn.Conv2d`` that stays in float32 where a dilated convolution is autocast on a CPU.

    oneDNN's bfloat16 gradient of its weights is wrong for ``channels_last`` maps: NaN for 24 input
    channels, numbers without meaning for depthwise convolutions (seen with torch 2.15 on a CPU with
    avx512_bf16). The output has the dtype of the autocast.
    """

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Convolve the map: ``(B, O, H', W')``."""
        if max(self.dilation) == 1 or not x_BCHW.is_cpu or not torch.is_autocast_enabled("cpu"):
            return super().forward(x_BCHW)
        with torch.autocast("cpu", enabled=False):
            mixed_BOHW = super().forward(x_BCHW.float())
        return mixed_BOHW.to(torch.get_autocast_dtype("cpu"))


def keep_float32(network: nn.Module) -> None:
    """Turn the dilated ``nn.Conv2d`` of a network into ``DilatedConv2d``, in place."""
    for module in network.modules():
        if type(module) is nn.Conv2d and max(module.dilation) > 1:
            module.__class__ = DilatedConv2d
