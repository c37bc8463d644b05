"""A bundle in memory whose network reads rectangular images."""

import pytest
import torch

from venation.bundles.load_network import LoadedBundle
from venation.bundles.record import BundleRecord
from venation.data.data_config import SplitConfig
from venation.models.build import build_network
from venation.spaces.fields import set_fields
from venation.trials.trial_config import TrialConfig

SETTINGS = {"encoder.name": "test_resnet", "data.size": "32x80", "data.zoom": 1.25, "gate": "none"}


@pytest.fixture
def rectangular() -> LoadedBundle:
    torch.manual_seed(0)
    config = set_fields(TrialConfig(), SETTINGS | {"decoder.kind": "unet", "decoder.channels": 8})
    images = {"train": 3, "val": 3, "test": 3}
    record = BundleRecord(
        sources=(), config=config, classes=("ash", "elm"), metrics={}, images=images,
        data_fingerprint="", split=SplitConfig(), provenance={},
    )  # fmt: skip
    return LoadedBundle(record, build_network(config.network(2)).eval(), None)
