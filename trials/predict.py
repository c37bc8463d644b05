"""Images in; labels, masks and heat maps out.

Shapes: B batch, C the last level's channels, K classes, H W the original image, h w the last level.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..data.config import DataConfig
from ..data.images import read_image
from ..data.scan import IMAGE_EXTENSIONS
from ..data.transforms import eval_image
from ..errors import DataError, UserError
from ..models.network import MultitaskNetwork
from .boost import Booster
from .geometry import to_original

TOP = 5


@dataclass(frozen=True)
class Prediction:
    """What is said of one image; ``mask`` (0 or 255) and ``heat`` (0..1) have the upright image's height and width."""

    path: Path
    label: str
    probability: float
    top: list[tuple[str, float]]
    mask: NDArray[np.uint8] | None
    heat: NDArray[np.float32] | None


class _Answer(NamedTuple):
    """A batch's answers in the network's view, on the CPU; the heat's scale is arbitrary."""

    probability_BK: NDArray[np.float32]
    mask_logits_B1hw: Tensor | None
    heat_Bhw: Tensor | None


class Predictor:
    """A network, its classes and its view, with a booster on its features if there is one."""

    def __init__(
        self,
        network: MultitaskNetwork,
        classes: Sequence[str],
        config: DataConfig,
        *,
        booster: Booster | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.device = device or torch.device("cpu")
        self.network = network.to(self.device).eval()
        self.classes = tuple(classes)
        self.config = config
        self.booster = booster
        if network.head.out_features != len(self.classes):
            heads = network.head.out_features
            raise UserError(f"{len(self.classes)} class names for a network of {heads} classes: give one name a class")

    def predict(self, paths: Sequence[Path], *, batch_size: int = 16, heat: bool = False) -> Iterator[Prediction]:
        """Predict images and folders of images, in order, one at a time; masks come if the network has a decoder.

        Raises DataError for a path that is not there, a folder without images or a file that cannot be decoded.
        """
        for found in self.predict_images(expand_paths(paths), batch_size=batch_size, heat=heat):
            if isinstance(found, DataError):
                raise found
            yield found

    def predict_images(
        self, paths: Sequence[Path], *, batch_size: int = 16, heat: bool = False
    ) -> Iterator[Prediction | DataError]:
        """One answer for each image file, in order: its prediction, or the error of one that cannot be decoded."""
        for start in range(0, len(paths), batch_size):
            part = paths[start : start + batch_size]
            pictures = [_read(path) for path in part]
            images = [picture for picture in pictures if not isinstance(picture, DataError)]
            if images:
                answer = self._answer(torch.stack([eval_image(image, self.config) for image in images]), heat=heat)
            places = count()
            for path, picture in zip(part, pictures, strict=True):
                if isinstance(picture, DataError):
                    yield picture
                else:
                    yield self._prediction(path, picture, answer, next(places))

    def _answer(self, x_BCHW: Tensor, *, heat: bool) -> _Answer:
        levels: list[Tensor] = []
        hook = self.network.encoder.register_forward_hook(lambda module, given, output: levels.append(output[-1]))
        try:
            with torch.no_grad():
                output = self.network(x_BCHW.to(self.device))
        finally:
            hook.remove()
        probability_BK = output.logits_BN.float().softmax(dim=1).cpu().numpy()
        if self.booster is not None:
            probability_BK = self.booster.predict(output.features_BC.float().cpu().numpy())
        mask_logits = output.mask_logits_B1HW
        heat_Bhw = None
        if heat:
            class_B = torch.from_numpy(probability_BK.argmax(axis=1)).to(self.device)
            heat_Bhw = class_heat(self.network, levels[0], class_B).cpu()
        return _Answer(probability_BK, None if mask_logits is None else mask_logits.float().cpu(), heat_Bhw)

    def _prediction(self, path: Path, image: Image.Image, answer: _Answer, index: int) -> Prediction:
        probability_K = answer.probability_BK[index]
        # Stable, so that equal probabilities keep the order of the classes, as argmax does.
        ranking = np.argsort(-probability_K, kind="stable")[:TOP]
        top = [(self.classes[at], float(probability_K[at])) for at in ranking]
        mask = heat = None
        if answer.mask_logits_B1hw is not None:
            logits_HW = to_original(answer.mask_logits_B1hw[index, 0], image.size, self.config, fill=-torch.inf)
            mask = (logits_HW > 0).numpy().astype(np.uint8) * np.uint8(255)
        if answer.heat_Bhw is not None:
            heat_HW = to_original(answer.heat_Bhw[index], image.size, self.config, fill=0.0)
            heat = _normalise(heat_HW).numpy()
        label, probability = top[0]
        return Prediction(path, label, probability, top, mask, heat)


def class_heat(network: MultitaskNetwork, level_BChw: Tensor, class_B: Tensor) -> Tensor:
    """Where the last level speaks for a class: sum over channels of ReLU(g_c h_c), ``(B, h, w)``.

    g_c is the mean over positions of the class score's gradient (HERBS, section 9). The score is the logit: the
    probability's gradient vanishes for the very images that the network is sure of.
    """
    level_BChw = level_BChw.detach().float().requires_grad_(True)
    with torch.enable_grad():
        logits_BK, _, _ = network.classify(level_BChw)
        score = logits_BK.gather(1, class_B[:, None]).sum()
        (gradient_BChw,) = torch.autograd.grad(score, level_BChw)
    weight_BC11 = gradient_BChw.mean(dim=(2, 3), keepdim=True)
    return F.relu(weight_BC11 * level_BChw.detach()).sum(dim=1)


def _read(path: Path) -> Image.Image | DataError:
    try:
        return read_image(path)
    except DataError as error:
        return error


def _normalise(heat_HW: Tensor) -> Tensor:
    peak = heat_HW.max()
    return heat_HW / peak if peak > 0 else torch.zeros_like(heat_HW)


def expand_paths(paths: Sequence[Path], *, without: Sequence[Path] = ()) -> list[Path]:
    """Files as they are given; folders as the images in and below them, sorted, without hidden files or folders.

    Folders in ``without`` are passed over where they lie below a given folder; one that is given is read all the same.
    Raises DataError for a path that does not exist or a folder without images.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_file():
            found.append(path)
        elif path.is_dir():
            found += _images_below(path, without)
        else:
            raise DataError(f"{path} does not exist: give images or folders of images")
    return found


def _images_below(folder: Path, without: Sequence[Path]) -> list[Path]:
    root = folder.resolve()
    # Nothing is passed over that holds the folder itself: it was asked for.
    passed = [place for other in without if root in (place := other.resolve()).parents]
    images = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in IMAGE_EXTENSIONS
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not any((root / path.relative_to(folder)).is_relative_to(place) for place in passed)
    ]
    if not images:
        kinds = ", ".join(sorted(IMAGE_EXTENSIONS))
        raise DataError(f"{folder} holds no images ({kinds}): give a folder that does")
    return images
