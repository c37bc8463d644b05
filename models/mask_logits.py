"""How the maps of a decoder are read: one structure by the sigmoid, several classes by the softmax.

Shapes: B batch, K maps of logits, H W their size.

One map has the log-odds of the structure. K > 1 maps have the logits of the background, then of
each class; class k of a mask has the value k, the background 0.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def mask_probabilities(logits_BKHW: Tensor) -> Tensor:
    """Return the probability of the structure ``(B, 1, H, W)``, or of background and classes."""
    return logits_BKHW.sigmoid() if logits_BKHW.shape[1] == 1 else logits_BKHW.softmax(dim=1)


def predicted_mask(logits_BKHW: Tensor) -> Tensor:
    """Return the mask ``(B, 1, H, W)`` of the logits, int64 from 0 to the number of classes.

    One structure begins at a probability above 0.5. Of several classes, the most probable wins;
    equal ones go to the first.
    """
    if logits_BKHW.shape[1] == 1:
        return (logits_BKHW > 0).long()
    return logits_BKHW.argmax(dim=1, keepdim=True)


def structures(mask_B1HW: Tensor, maps: int) -> Tensor:
    """Return which pixels belong to each class of a mask, ``(B, K - 1, H, W)``, without background.

    For one map it is ``(B, 1, H, W)``: every class is structure.
    """
    if maps == 1:
        return mask_B1HW > 0
    return mask_B1HW == torch.arange(1, maps, device=mask_B1HW.device)[:, None, None]


def mask_shares(mask_B1HW: Tensor, maps: int) -> Tensor:
    """Return the target ``(B, K, H, W)`` of ``maps`` maps from a float mask of class values.

    For one map every class is structure; otherwise it is one-hot, the background first.
    """
    if maps == 1:
        return (mask_B1HW > 0).to(mask_B1HW.dtype)
    values_K11 = torch.arange(maps, device=mask_B1HW.device)[:, None, None]
    return (mask_B1HW == values_K11).to(mask_B1HW.dtype)


def resize_shares(shares_BKHW: Tensor, logits_BKhw: Tensor) -> Tensor:
    """Resize a target to the logits' size, bilinearly with half-pixel centres.

    At half the size this is the mean of 2 x 2 pixels, hence soft targets (XMNet and MNSA, section
    3.4).
    """
    return F.interpolate(shares_BKHW, logits_BKhw.shape[-2:], mode="bilinear", align_corners=False)
