"""Feature extraction: the network's own features; a second call reads the cache."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from venation.data.dataset import LeafDataset
from venation.data.loader import make_loader
from venation.data.manifest import Sample
from venation.errors import DataError, UserError
from venation.models.network import MultitaskNetwork
from venation.trials.features import Features, extract_features

from .conftest import CONFIG, draw_stripes

CPU = torch.device("cpu")
CLASSES = ("level", "slant", "upright")
Make = Callable[..., MultitaskNetwork]
Parts = tuple[list[Sample], list[Sample]]


class CountingExtractor:
    """Extracts features and counts how often the network was needed."""

    def __init__(self, network: MultitaskNetwork, cache: Path | None) -> None:
        self.network, self.cache, self.passes = network, cache, 0

    def _build(self) -> MultitaskNetwork:
        self.passes += 1
        return self.network

    def __call__(self, samples: list[Sample], *, weights_hash: str = "w", **view: float | str) -> Features:
        config = CONFIG.model_copy(update=view)
        return extract_features(
            self._build, samples, CLASSES, config, device=CPU, cache=self.cache, weights_hash=weights_hash
        )


def same_features(left: Features, right: Features) -> bool:
    return all(np.array_equal(value, getattr(right, name)) for name, value in vars(left).items())


def test_features_equal_those_of_the_network_in_eval_mode(parts: Parts, make_network: Make) -> None:
    network = make_network().train()
    found = CountingExtractor(network, None)(parts[1])
    assert network.training
    dataset = LeafDataset(parts[1], CLASSES, CONFIG, train=False)
    (whole,) = make_loader(dataset, batch_size=99, train=False, seed=0)
    network.eval()
    with torch.no_grad():
        output = network(whole.image_BCHW)
    np.testing.assert_allclose(found.x, output.features_BC.numpy(), atol=1e-6)
    np.testing.assert_allclose(found.probabilities, output.logits_BN.softmax(1).numpy(), atol=1e-6)
    np.testing.assert_array_equal(found.y, whole.label_B.numpy())
    assert (found.x.dtype, found.y.dtype, found.probabilities.dtype) == (np.float32, np.int64, np.float32)


def test_training_augmentation_does_not_matter(parts: Parts, make_network: Make) -> None:
    network = make_network()
    wild = CONFIG.model_copy(update={"hflip": 1.0, "colour": 0.5, "min_area": 0.2, "blur": 1.0, "sharpen": 1.0})
    plain = extract_features(lambda: network, parts[1], CLASSES, CONFIG, device=CPU, cache=None, weights_hash="w")
    assert same_features(
        plain, extract_features(lambda: network, parts[1], CLASSES, wild, device=CPU, cache=None, weights_hash="w")
    )


def test_a_second_call_needs_no_network(parts: Parts, make_network: Make, tmp_path: Path) -> None:
    extract = CountingExtractor(make_network(), tmp_path / "cache")
    first = extract(parts[1])
    assert extract.passes == 1
    assert same_features(first, extract(parts[1]))
    assert extract.passes == 1
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".safetensors"]


def test_any_change_of_weights_data_or_view_misses_the_cache(parts: Parts, make_network: Make, tmp_path: Path) -> None:
    extract = CountingExtractor(make_network(), tmp_path)
    extract(parts[1])
    for count, call in enumerate(
        (
            lambda: extract(parts[1], weights_hash="other"),
            lambda: extract(parts[1], size=40),
            lambda: extract(parts[1], size="32x40"),
            lambda: extract(parts[1], zoom=1.25),
            lambda: extract(parts[1][:-1]),
            lambda: extract(parts[1][::-1]),
        ),
        start=2,
    ):
        call()
        assert extract.passes == count


def test_a_changed_file_misses_the_cache(make_network: Make, tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    sample = Sample(image=path, label="level", mask=None, group="image", split=None)
    extract = CountingExtractor(make_network(), tmp_path / "cache")
    draw_stripes(0, 0)[0].save(path)
    first = extract([sample])
    draw_stripes(1, 0)[0].save(path)
    assert not same_features(first, extract([sample]))
    assert extract.passes == 2


def test_a_damaged_cache_file_is_replaced(parts: Parts, make_network: Make, tmp_path: Path) -> None:
    extract = CountingExtractor(make_network(), tmp_path)
    first = extract(parts[1])
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:50])
    assert same_features(first, extract(parts[1]))
    assert extract.passes == 2
    assert same_features(first, extract(parts[1]))
    assert extract.passes == 2


def test_bad_input_is_named(parts: Parts, make_network: Make, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no images"):
        CountingExtractor(make_network(), None)([])
    gone = Sample(image=tmp_path / "gone.png", label="level", mask=None, group="g", split=None)
    with pytest.raises(DataError, match=r"gone\.png cannot be read"):
        CountingExtractor(make_network(), tmp_path)([gone])
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="feature cache .* cannot be written"):
        CountingExtractor(make_network(), tmp_path / "file")(parts[1])
