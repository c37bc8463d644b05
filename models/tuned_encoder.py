"""A decoder with a copy of the encoder that is trained together with it.

Shapes: B batch, H W the image's size.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from .encoder import Encoder
from .run_decoder import run_decoder


class TunedEncoderDecoder(nn.Module):
    """A decoder that reads the levels of its own encoder instead of the frozen base's.

    The label still comes from the frozen encoder, so one network serves both tasks without a
    compromise between them. It costs a second pass through an encoder.
    """

    reads_image = True

    def __init__(self, encoder: Encoder, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, levels: Sequence[Tensor], image_BCHW: Tensor) -> list[Tensor]:
        """Return the mask's logits, then any side outputs; ``levels`` are not read."""
        return run_decoder(self.decoder, self.encoder(image_BCHW), image_BCHW)

    def start_from(self, encoder: Encoder) -> None:
        """Copy the weights and statistics of the base's encoder."""
        self.encoder.load_state_dict(encoder.state_dict())
