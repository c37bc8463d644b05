"""Run a decoder, which may read the image besides the encoder's levels.

Shapes: B batch, H W the image's size.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.func import functional_call


def run_decoder(
    decoder: nn.Module, levels: Sequence[Tensor], image_BCHW: Tensor, tensors: Mapping[str, Tensor] | None = None
) -> list[Tensor]:
    """Run a decoder, with ``tensors`` instead of its own weights and buffers if given.

    The mask's logits come first. A decoder with the attribute ``reads_image`` also gets the image.
    """
    inputs = (levels, image_BCHW) if getattr(decoder, "reads_image", False) else (levels,)
    if tensors is None:
        outputs: list[Tensor] = decoder(*inputs)
    else:
        # No two names share a weight here, and the search for such costs as much as a small
        # decoder.
        outputs = functional_call(decoder, dict(tensors), inputs, tie_weights=False)
    return outputs
