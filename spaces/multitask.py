"""The search spaces of multitask studies: the classifier's training, the decoder, both losses."""

from .classifier import CLASSIFIER_SPACE
from .decoder import DECODER_SPACE, MNSA_SPACE
from .space import Float, Space

# The label's loss has the weight 1: only the ratio of both counts.
_BALANCE = Float(name="train.mask_loss_weight", low=0.1, high=10.0, log=True)

# Of a classifier's space without what mixes images, blanks their background or hides parts of
# them; of a decoder's space without the branches of its enhancer, which matter less than the
# balance of the losses.
_CLASSIFIER = ("encoder.name", "data.size", "train.lr", "train.encoder_lr", "train.weight_decay", "gate")
_HEAD = ("train.label_smoothing", "train.head_start", "train.frozen_bn", "data.colour")
_DECODER = ("decoder.kind", "decoder.channels", "decoder.supervise", "train.dice_weight")


def _some(space: Space, names: tuple[str, ...]) -> Space:
    return space.without({dimension.name for dimension in space.dimensions} - set(names))


MULTITASK_SPACE = Space(
    dimensions=(
        _BALANCE,
        Float(name="train.decoder_lr", low=1.0, high=20.0, log=True),
        *_some(CLASSIFIER_SPACE, (*_CLASSIFIER, *_HEAD)).dimensions,
        *_some(DECODER_SPACE, _DECODER).dimensions,
    )
)

XMNET_MULTITASK_SPACE = Space(dimensions=(_BALANCE,))
MNSA_MULTITASK_SPACE = Space(dimensions=(_BALANCE, *MNSA_SPACE.dimensions))
