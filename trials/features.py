"""Extract pooled features of a frozen network once and cache them by content.

Shapes: N images, C features, K classes.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ..data.batch import image_labels
from ..data.data_config import DataConfig
from ..data.dataset import LeafDataset
from ..data.fingerprint import file_hash
from ..data.loader import make_loader
from ..data.manifest import Sample
from ..errors import DataError, UserError
from ..models.memory_format import place
from ..models.network import MultitaskNetwork
from .files import atomic_write
from .image_means import ImageMeans

FORMAT = "venation-features-1"
# On a CPU small batches stay in the cache: EfficientNet-Lite0 takes 0.6 of the time of 32 images.
_BATCH_SIZES = {"cpu": 8}
_BATCH_SIZE = 32
# Fields of a view that matter in evaluation; the others only change training.
VIEW_FIELDS = {"size", "zoom", "fit", "mean", "std", "interpolation", "white"}


@dataclass(frozen=True)
class Features:
    """Pooled gated features of images, their labels and the probabilities of the network's head.

    ``x`` is (N, C) float32, ``y`` is (N,) int64, ``probabilities`` is (N, K) float32. ``weight`` is
    (N,), the weights of the images in a fit; None: 1 each.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    weight: NDArray[np.float64] | None = None


def extract_features(
    build: Callable[[], MultitaskNetwork],
    samples: Sequence[Sample],
    classes: Sequence[str],
    config: DataConfig,
    *,
    device: torch.device,
    cache: Path | None,
    weights_hash: str,
    blanked: bool = False,
) -> Features:
    """Return the features of all samples in order, without augmentation, in eval mode and fp32.

    With a ``cache`` folder, features are read from there if the same weights saw the same files
    with the same labels and view before; otherwise ``build`` returns the network. ``weights_hash``
    must identify its weights and architecture. ``blanked`` images show what their masks show.
    Raises DataError for no samples or an unreadable file, UserError if the cache cannot be written.
    """
    if not samples:
        raise DataError("this split has no images: add images or change the split")
    path = None
    if cache is not None:
        path = features_path(cache, samples, classes, config, weights_hash=weights_hash, blanked=blanked)
        found = _read(path)
        if found is not None:
            return found
    features = pool_features(build(), LeafDataset(samples, classes, config, train=False, blank=blanked), device)
    if path is not None:
        _write(path, features)
    return features


def join(*parts: Features) -> Features:
    """Return the features of several sets of images as one."""
    x, y, probabilities = (
        np.concatenate(column) for column in zip(*((part.x, part.y, part.probabilities) for part in parts), strict=True)
    )
    if all(part.weight is None for part in parts):
        return Features(x, y, probabilities)
    weights = [np.ones(len(part.y)) if part.weight is None else part.weight for part in parts]
    return Features(x, y, probabilities, np.concatenate(weights))


def take(features: Features, index: NDArray[np.int64]) -> Features:
    """Return the features of some images."""
    weight = None if features.weight is None else features.weight[index]
    return Features(features.x[index], features.y[index], features.probabilities[index], weight)


def features_path(
    cache: Path,
    samples: Sequence[Sample],
    classes: Sequence[str],
    config: DataConfig,
    *,
    weights_hash: str,
    blanked: bool = False,
) -> Path:
    """Return the path of these features in the folder ``cache``."""
    key = _cache_key(samples, classes, config, weights_hash, blanked)
    return cache / f"features-{key}.safetensors"


@torch.inference_mode()
def pool_features(
    network: MultitaskNetwork,
    dataset: LeafDataset,
    device: torch.device,
    advance: Callable[[int], None] = lambda done: None,
    *,
    mirrored: bool = False,
) -> Features:
    """Return the features of every sample of ``dataset``, in eval mode and fp32.

    Those of a whole image in windows are the means over its windows. ``advance`` is called after
    each batch with the number of samples that are done. ``mirrored`` images are flipped left to
    right.
    """
    was_training = network.training
    place(network, device).eval()
    x, probabilities, y = ImageMeans(), ImageMeans(), []
    batch_size = _BATCH_SIZES.get(device.type, _BATCH_SIZE)
    for batch in make_loader(dataset, batch_size=batch_size, train=False, seed=0):
        image_BCHW = batch.image_BCHW.flip(3) if mirrored else batch.image_BCHW
        output = network(image_BCHW.to(device, non_blocking=True), segment=False)
        x.add(output.features_BC.float().cpu(), batch)
        probabilities.add(output.logits_BN.float().softmax(dim=1).cpu(), batch)
        y.append(image_labels(batch).numpy())
        advance(sum(map(len, y)))
    network.train(was_training)
    return Features(x.rows(), np.concatenate(y), probabilities.rows())


def evaluation_view(config: DataConfig) -> dict[str, Any]:
    """Return the fields of a view that matter in evaluation, by name."""
    # Later fields only where they matter, so that features of earlier versions are found.
    further = {
        "scale": config.fit == "patch",
        "border": config.crops and config.border == "mean",
        "channels": config.channels != 3,
    }
    fields = VIEW_FIELDS | {name for name, matters in further.items() if matters}
    return config.model_dump(mode="json", include=fields)


def _cache_key(
    samples: Sequence[Sample], classes: Sequence[str], config: DataConfig, weights_hash: str, blanked: bool
) -> str:
    view = evaluation_view(config)
    digest = hashlib.sha256(json.dumps([FORMAT, weights_hash, view, list(classes)], sort_keys=True).encode())
    for sample in samples:
        digest.update(f"{file_hash(sample.image)} {sample.label}\n".encode())
        if blanked and sample.mask is not None:
            digest.update(f"blanked {file_hash(sample.mask)}\n".encode())
    return digest.hexdigest()


def _read(path: Path) -> Features | None:
    """Return the cached features; None if the file is missing or damaged.

    The caller then extracts them again.
    """
    try:
        return Features(**load_file(path))
    except (OSError, SafetensorError, TypeError):
        return None


def _write(path: Path, features: Features) -> None:
    arrays = {"x": features.x, "y": features.y, "probabilities": features.probabilities}
    try:
        with atomic_write(path) as aside:
            save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, aside)
    except (OSError, SafetensorError) as error:
        raise UserError(f"feature cache {path.parent} cannot be written ({error}): free space or move it") from None
