"""The networks and photo-sized generated leaves of `step.py`."""

from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from venation.data.data_config import DataConfig
from venation.data.dataset import LeafDataset
from venation.data.loader import Loader, make_loader
from venation.data.manifest import Manifest, load_manifest
from venation.data.synthetic import write_leaves
from venation.models.build import build_network
from venation.models.network import MultitaskNetwork
from venation.models.network_config import DecoderConfig, EncoderConfig, NetworkConfig
from venation.trials.kinds import Task
from venation.trials.trial_config import TrainConfig

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
SIZE = 448 if CUDA else 128
CONFIG = TrainConfig(epochs=4, batch_size=16 if CUDA else 8)
CLASSES, IMAGES, TRAINED = 4, 8, 6  # images per class, and how many of them are for training
PHOTO = 960  # pixels: the images of uci_leaf have 720 x 960


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    name: str
    task: Task
    encoder: EncoderConfig = EncoderConfig(name="resnet18")
    decoder: DecoderConfig = DecoderConfig()


# The recipes of the preset `default`, and a classifier whose first two stages are frozen.
CASES = (
    Case("classifier", "classify"),
    Case("half frozen", "classify", EncoderConfig(name="resnet18", frozen_children=6)),
    Case("decoder", "segment", decoder=DecoderConfig(kind="mnsa", channels=32, full_size=True, detail=16)),
)


def write_photos(root: Path) -> Manifest:
    """Write generated leaves, enlarged to the size of photographs."""
    write_leaves(root, classes=CLASSES, images=IMAGES, size=PHOTO // 4, seed=0)
    for path in root.rglob("*.png"):
        with Image.open(path) as image:
            image.resize((PHOTO, PHOTO), Image.Resampling.NEAREST).save(path, compress_level=1)
    return load_manifest(root)


def build(case: Case) -> MultitaskNetwork:
    """Build the case's network, with equal weights each time."""
    torch.manual_seed(0)
    config = NetworkConfig(encoder=case.encoder, decoder=case.decoder, num_classes=CLASSES, size=(SIZE, SIZE))
    return build_network(config).to(DEVICE)


def loader(manifest: Manifest, *, train: bool, cache_bytes: int | None = None) -> Loader:
    """Load the first images of every class for training, or the others for validation."""
    samples = [sample for number, sample in enumerate(manifest.samples) if (number % IMAGES < TRAINED) is train]
    data = LeafDataset(samples, manifest.classes, DataConfig(size=SIZE), train=train, cache_bytes=cache_bytes)
    return make_loader(data, batch_size=CONFIG.batch_size, train=train, seed=0)
