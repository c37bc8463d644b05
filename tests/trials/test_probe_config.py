from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from venation.data.data_config import DataConfig
from venation.models.network_config import EncoderConfig
from venation.trials import probe_config
from venation.trials.probe_config import choose_probe, weights_hash
from venation.trials.trial_config import TrialConfig

VIEW = DataConfig(size=96, fit="pad", mean=(0.1, 0.2, 0.3), blank=0.5)


def chosen(**encoder: str) -> TrialConfig:
    """Return the probe's config for a study with this encoder."""
    found = choose_probe(TrialConfig(encoder=EncoderConfig(**encoder), data=VIEW))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "weights", "used"),
    [
        ("tf_efficientnet_lite0", "pretrained", "tf_efficientnet_lite0"),
        ("tf_efficientnet_lite0", "none", "tf_efficientnet_lite0"),
        ("resnet50", "pretrained", "resnet50"),
        ("test_resnet", "none", "tf_efficientnet_lite0"),
    ],
)
def test_probe_has_the_studys_encoder_or_the_packaged_one(name: str, weights: str, used: str) -> None:
    found = chosen(name=name, weights=weights)
    assert (found.encoder.name, found.encoder.weights, found.gate) == (used, "pretrained", "none")
    assert not found.plugin.width and found.decoder.kind == "none"
    # The study's view, with the encoder's own normalisation.
    own = timm.models.get_pretrained_cfg(used)
    assert own is not None
    assert (found.data.size, found.data.fit) == (96, "pad")
    assert (found.data.mean, found.data.std) == (own.mean, own.std)


def test_weights_of_a_file_keep_the_studys_normalisation(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"w": torch.zeros(2)}, path)
    found = chosen(name="test_resnet", weights=str(path))
    assert (found.encoder.name, found.encoder.weights) == ("test_resnet", str(path))
    assert found.data.mean == VIEW.mean
    before = weights_hash(found.encoder)
    save_file({"w": torch.ones(2)}, path)
    assert before != weights_hash(found.encoder)


def test_no_weights_on_this_machine_mean_no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_config, "found_offline", lambda encoder: False)
    assert choose_probe(TrialConfig(data=VIEW)) is None


def test_weights_are_known_by_their_package_and_not_by_a_hub() -> None:
    packaged = weights_hash(EncoderConfig(name="tf_efficientnet_lite0", weights="pretrained"))
    other = weights_hash(EncoderConfig(name="tf_efficientnet_lite1", weights="pretrained"))
    assert packaged is not None and packaged != other
    assert weights_hash(EncoderConfig(name="resnet50", weights="pretrained")) is None
