"""torchvision's automatic augmentation policies for an image with a mask.

Shapes: C channels, H W height and width.
"""

from typing import Any

from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.transforms import v2

# The operations that move pixels.
_GEOMETRIC = frozenset(("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"))


class BandByBand(nn.Module):
    """A change of colours that treats each channel of an image as a grey image of its own.

    torchvision defines changes of colours for one and three channels. All channels change alike,
    by the same random strength. Greys have no saturation, so a change of it does nothing.
    """

    def __init__(self, change: nn.Module) -> None:
        super().__init__()
        self.change = change

    def forward(self, image_CHW: Tensor, mask_1HW: Tensor) -> tuple[Tensor, Tensor]:
        """Return the changed image, and the mask as it is."""
        image_C1HW = self.change(_bands(image_CHW))
        return tv_tensors.Image(image_C1HW[:, 0]), mask_1HW


class _MaskFollows:
    """A policy whose geometric operations move the mask as well; torchvision's refuse masks.

    A policy draws an operation and a strength for an image, and applies them in one method, which
    is extended here. Other operations change colours only; of other than three channels they change
    each as a grey image, see ``BandByBand``.
    """

    _mask_1HW: Tensor

    def forward(self, image_CHW: Tensor, mask_1HW: Tensor) -> tuple[Tensor, Tensor]:
        """Return the changed uint8 image, and the mask moved like it."""
        policy: Any = super()
        self._mask_1HW = mask_1HW
        image_CHW = policy.forward(image_CHW)
        return image_CHW, self._mask_1HW

    def _apply_image_or_video_transform(self, image: Tensor, transform_id: str, *given: Any, **options: Any) -> Tensor:
        policy: Any = super()
        if transform_id in _GEOMETRIC:
            self._mask_1HW = policy._apply_image_or_video_transform(self._mask_1HW, transform_id, *given, **options)
        elif image.shape[0] != 3:
            image_C1HW: Tensor = policy._apply_image_or_video_transform(_bands(image), transform_id, *given, **options)
            return tv_tensors.Image(image_C1HW[:, 0])
        moved: Tensor = policy._apply_image_or_video_transform(image, transform_id, *given, **options)
        return moved


class JointTrivialAugment(_MaskFollows, v2.TrivialAugmentWide):  # type: ignore[misc]
    """One random operation of random strength (TrivialAugment, arXiv 2103.10158)."""


class JointRandAugment(_MaskFollows, v2.RandAugment):  # type: ignore[misc]
    """Two random operations of medium strength (RandAugment, arXiv 1909.13719)."""


def build_policy(name: str, colour: tuple[int, ...]) -> v2.Transform:
    """Return the policy ``trivial`` or ``rand``; new corners have this colour, and no structure."""
    kind = {"trivial": JointTrivialAugment, "rand": JointRandAugment}[name]
    fill = {tv_tensors.Image: list(colour), tv_tensors.Mask: 0}
    return kind(interpolation=v2.InterpolationMode.BILINEAR, fill=fill)


def _bands(image_CHW: Tensor) -> Tensor:
    """Return the channels of an image as a batch of grey images."""
    return tv_tensors.Image(image_CHW[:, None])
