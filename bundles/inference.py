"""The description of a bundle's steps before and after its graphs, for readers other than Venation.

It is the field ``inference`` of ``bundle.json``. Every number is taken from the functions that
``venation predict`` runs. All sizes are (height, width) in pixels.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..data.data_config import DataConfig
from ..data.fit_image import SMALLEST, fitted_HW, mean_colour
from ..data.windows import OVERLAP, SIGMA
from ..trials.flips import trained_flips
from ..trials.trial_config import TrialConfig

Side = Annotated[int, Field(ge=1)]
Size = tuple[Side, Side]

_FLIPPED = {2: "vertical", 3: "horizontal"}


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Resize(_Model):
    """How an image is resized: to ``size``, or to ``scale`` times its own size.

    With ``keep_aspect`` it becomes as large as it fits into ``size``. Rounding is to even. Pillow's
    method of the name ``interpolation`` is meant, which has antialiasing.
    """

    size: Size | None = None
    scale: float | None = None
    keep_aspect: bool = False
    interpolation: str
    antialias: Literal[True] = True


class Crop(_Model):
    """The centre that is kept of an image that is larger; ``rounding`` of half an odd excess."""

    size: Size
    rounding: Literal["down", "even"]


class Pad(_Model):
    """The border around an image that is smaller than ``size``: ``colour`` has values 0 to 255."""

    size: Size
    place: Literal["centre", "right and bottom"]
    colour: tuple[float, ...]


class Windows(_Model):
    """Windows of ``size`` over a whole image, evenly spaced from edge to edge.

    Their number along an axis of n pixels is the least with steps of (1 - ``overlap``) windows at
    most. Means of maps are weighted by a Gaussian at the window's centre, of a standard deviation
    of ``sigma`` window sides.
    """

    size: Size
    overlap: float = OVERLAP
    sigma: float = SIGMA


class ImageSteps(_Model):
    """How an upright image becomes a graph's input, in this order; a step may be None.

    Values above 8 bits are first scaled so that ``white`` becomes 255 (0: the type's largest
    value). After ``pad``, the values are divided by 255, and normalised by ``mean`` and ``std`` of
    the channels. ``size`` is that of the input, None for any. ``flips`` are the mirror images that
    training used, over which (and whose combination) a prediction may be averaged.
    """

    channels: int
    white: float
    resize: Resize | None
    crop: Crop | None
    pad: Pad | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    windows: Windows | None
    size: Size | None
    flips: tuple[str, ...]


class LabelSteps(_Model):
    """How a label is found: ``graph`` gives ``probabilities``, after the softmax, and ``features``.

    If there is a ``booster``, this graph gives the probabilities, of the features. Of windows, the
    mean counts: of the probabilities, or of the features. The answer is ``unknown`` where the
    largest probability is below ``unknown_below``.
    """

    graph: str
    image: ImageSteps
    input: str = "image"
    probabilities: str = "probabilities"
    features: str = "features"
    booster: str | None
    softmax: Literal["in the graph"] = "in the graph"
    temperature: float = 1.0
    unknown_below: float | None


class MaskSteps(_Model):
    """How a mask is found: the output ``logits`` of ``graph``, resized to the input's size.

    The steps of the image are then undone: the border is cut off, and the map is resized to the
    image, bilinearly with half-pixel centres and without antialiasing. What ``crop`` left out is
    background. One map is a structure where its probability is above ``threshold``, its logit above
    0. Of several maps, the background and the ``classes`` in their order, the largest wins. The
    output ``probabilities`` has passed the sigmoid, or of several maps the softmax.
    """

    graph: str
    image: ImageSteps
    input: str = "image"
    probabilities: str = "mask"
    logits: str = "mask_logits"
    classes: tuple[str, ...]
    threshold: float = 0.5


class Inference(_Model):
    """The steps for labels and, if the bundle has a decoder, for masks; classes in the record."""

    labels: LabelSteps
    masks: MaskSteps | None


def describe_steps(view: DataConfig) -> ImageSteps:
    """Return the steps of a view, as ``data.fit_image`` and ``predict_windows`` take them."""
    mean, std = view.normalisation
    patch, whole = view.fit == "patch", view.fit == "whole"
    return ImageSteps(
        channels=view.channels,
        white=view.white,
        resize=_resize(view),
        crop=_crop(view),
        pad=_pad(view),
        mean=mean,
        std=std,
        windows=Windows(size=view.size_HW) if patch else None,
        size=None if whole else view.size_HW,
        flips=tuple(_FLIPPED[flip[0]] for flip in trained_flips(view) if len(flip) == 1),
    )


def describe_inference(
    config: TrialConfig, mask_view: DataConfig, *, graphs: tuple[str, str], booster: str | None, unknown: float | None
) -> Inference:
    """Return the description of a bundle; ``graphs`` are the files for labels and for masks."""
    labels = LabelSteps(graph=graphs[0], image=describe_steps(config.data), booster=booster, unknown_below=unknown)
    if config.decoder.kind == "none":
        return Inference(labels=labels, masks=None)
    masks = MaskSteps(graph=graphs[1], image=describe_steps(mask_view), classes=config.decoder.classes)
    return Inference(labels=labels, masks=masks)


def _resize(view: DataConfig) -> Resize | None:
    if view.fit in ("squash", "pad"):
        size = fitted_HW(view, train=False)
        return Resize(size=size, keep_aspect=view.fit == "pad", interpolation=view.interpolation)
    if view.fit == "patch" and view.scale != 1:
        return Resize(scale=view.scale, interpolation=view.interpolation)
    return None


def _crop(view: DataConfig) -> Crop | None:
    if view.fit != "crop" and view.zoom == 1:
        return None
    return Crop(size=view.size_HW, rounding="even" if view.fit != "crop" or view.border == "black" else "down")


def _pad(view: DataConfig) -> Pad | None:
    if view.fit == "squash":
        return None
    if view.crops:
        # Zero after the normalisation, or black.
        mean, _ = view.normalisation
        colour = (0.0,) * view.channels if view.border == "black" else tuple(255 * value for value in mean)
    else:
        colour = mean_colour(view)
    size = (SMALLEST, SMALLEST) if view.fit == "whole" else view.size_HW
    return Pad(size=size, place="centre" if view.fit == "pad" else "right and bottom", colour=colour)
