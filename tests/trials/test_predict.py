"""Predictions against the network's own evaluation path, in every fit; geometry against drawn boxes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from venation.data.config import DataConfig
from venation.data.dataset import LeafDataset, make_loader
from venation.data.manifest import Item
from venation.data.transforms import eval_image
from venation.errors import DataError, UserError
from venation.models.config import DecoderConfig
from venation.models.network import MultitaskNetwork
from venation.trials.boost import fit_booster
from venation.trials.config import BoostConfig
from venation.trials.features import extract_features
from venation.trials.geometry import to_original
from venation.trials.predict import Predictor, class_heat, expand_paths

from .conftest import CONFIG

CPU = torch.device("cpu")
CLASSES = ("level", "slant", "upright")
Make = Callable[..., MultitaskNetwork]
Parts = tuple[list[Item], list[Item]]


def test_labels_are_those_of_the_evaluation_path(parts: Parts, make_network: Make, unet: DecoderConfig) -> None:
    network = make_network(decoder=unet)
    paths = [item.image for item in parts[1]]
    found = list(Predictor(network, CLASSES, CONFIG).predict(paths, batch_size=4))
    dataset = LeafDataset(parts[1], CLASSES, CONFIG, train=False)
    (whole,) = make_loader(dataset, batch_size=99, train=False, seed=0)
    with torch.no_grad():
        output = network.eval()(whole.image_BCHW)
    probability = output.logits_BN.softmax(1).numpy()
    assert [p.path for p in found] == paths
    assert [p.label for p in found] == [CLASSES[at] for at in probability.argmax(1)]
    np.testing.assert_allclose([p.probability for p in found], probability.max(1), rtol=1e-4)
    for prediction, row in zip(found, probability, strict=True):
        assert [name for name, _ in prediction.top] == [CLASSES[at] for at in np.argsort(-row)]
        assert prediction.heat is None
    logits = F.interpolate(output.mask_logits_B1HW, (32, 32), mode="bilinear")
    for prediction, mask in zip(found, logits[:, 0].numpy(), strict=True):
        assert prediction.mask is not None
        np.testing.assert_array_equal(prediction.mask, np.where(mask > 0, 255, 0))


def test_a_booster_decides_the_label(parts: Parts, make_network: Make) -> None:
    network = make_network()
    features = extract_features(network, parts[1], CLASSES, CONFIG, device=CPU, cache=None, weights_hash="w")
    fit = fit_booster(features, features, BoostConfig(rounds=10), num_classes=3)
    list(fit)
    found = list(Predictor(network, CLASSES, CONFIG, booster=fit.booster).predict([i.image for i in parts[1]]))
    expected = fit.booster.predict(features.x)
    np.testing.assert_allclose([p.probability for p in found], expected.max(1), rtol=1e-3)
    assert [p.label for p in found] == [CLASSES[at] for at in expected.argmax(1)]
    assert found[0].mask is None


@pytest.mark.parametrize("fit", ["squash", "pad", "crop"])
def test_masks_and_heat_have_the_images_size(
    folder_of_images: Path, make_network: Make, unet: DecoderConfig, fit: str
) -> None:
    config = DataConfig(size=32, fit=fit)
    predictor = Predictor(make_network(decoder=unet), CLASSES, config)
    first, second = predictor.predict([folder_of_images], heat=True)
    for prediction, shape in ((first, (30, 40)), (second, (50, 30))):
        assert prediction.mask is not None and prediction.heat is not None
        assert prediction.mask.shape == prediction.heat.shape == shape
        assert prediction.mask.dtype == np.uint8 and set(np.unique(prediction.mask)) <= {0, 255}
        assert prediction.heat.dtype == np.float32
        assert prediction.heat.min() >= 0 and prediction.heat.max() == 1


@pytest.mark.parametrize("fit", ["squash", "pad", "crop"])
@pytest.mark.parametrize("size", [(40, 30), (30, 50), (100, 40), (20, 25), (33, 32)])
def test_what_the_network_sees_somewhere_is_put_back_there(fit: str, size: tuple[int, int]) -> None:
    """The view's own brightness, put back, must look like the image where the network saw it."""
    down, across = np.mgrid[: size[1], : size[0]]
    grey = (127 + 60 * np.sin(across / 7) + 60 * np.cos(down / 9)).astype(np.uint8)
    config = DataConfig(size=64 if fit != "crop" else 32, fit=fit, mean=(0, 0, 0), std=(1, 1, 1))
    view = eval_image(Image.fromarray(grey).convert("RGB"), config)[0]
    back = to_original(view, size, config, fill=-1.0).numpy()
    assert back.shape == grey.shape
    seen = back >= 0
    if fit == "crop":
        assert seen.sum() == min(size[0], 32) * min(size[1], 32)
        np.testing.assert_allclose(back[seen] * 255, grey[seen], atol=1e-3)
    else:
        assert seen.all()
        assert np.abs(back * 255 - grey).mean() < 4


def test_heat_without_a_gate_is_a_class_activation_map(make_network: Make) -> None:
    network = make_network(gate="none").eval()
    level = torch.randn(2, network.head.in_features, 3, 4, generator=torch.Generator().manual_seed(0))
    chosen = torch.tensor([2, 0])
    heat = class_heat(network, level, chosen)
    weight = network.head.weight.detach()[chosen] / 12
    np.testing.assert_allclose(heat.numpy(), F.relu(weight[:, :, None, None] * level).sum(1).numpy(), rtol=1e-4)


def test_heat_follows_the_gate_by_finite_differences(make_network: Make) -> None:
    network = make_network(gate="mean").eval().double()
    network_float = make_network(gate="mean").eval()
    level = torch.rand(1, network.head.in_features, 2, 2, generator=torch.Generator().manual_seed(0))

    def score(x: torch.Tensor) -> float:
        with torch.no_grad():
            blended, _ = network.gate(x)
            return float(network.head(blended.mean((2, 3)))[0, 1])

    gradient = torch.zeros_like(level, dtype=torch.float64)
    for index in np.ndindex(*level.shape):
        step = torch.zeros_like(gradient)
        step[index] = 1e-4
        gradient[index] = (score(level.double() + step) - score(level.double() - step)) / 2e-4
    expected = F.relu(gradient.mean((2, 3), keepdim=True) * level).sum(1)
    np.testing.assert_allclose(class_heat(network_float, level, torch.tensor([1])).numpy(), expected, rtol=1e-3)


def test_heat_reads_the_level_that_the_network_reads(
    folder_of_images: Path, make_network: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way from the last level to the logits is the network's own, also when its base is frozen."""
    network = make_network()
    network.freeze_base()
    seen: list[torch.Tensor] = []
    original = network.classify

    def classify(level: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
        seen.append(level.detach().clone())
        return original(level)

    monkeypatch.setattr(network, "classify", classify)
    (prediction,) = Predictor(network, CLASSES, CONFIG).predict([folder_of_images / "a.png"], heat=True)
    forward, heat = seen
    assert torch.equal(forward, heat)
    assert prediction.heat is not None and prediction.heat.max() == 1
    assert not network.encoder._forward_hooks


def test_folders_are_expanded_in_order_without_hidden_files(folder_of_images: Path) -> None:
    (folder_of_images / "deep").mkdir()
    for name in ("deep/c.PNG", ".hidden.png", "notes.txt"):
        (folder_of_images / name).write_bytes((folder_of_images / "a.png").read_bytes())
    (folder_of_images / ".cache").mkdir()
    (folder_of_images / ".cache" / "d.png").write_bytes(b"")
    names = [path.relative_to(folder_of_images).as_posix() for path in expand_paths([folder_of_images])]
    assert names == ["a.png", "b.png", "deep/c.PNG"]
    assert expand_paths([folder_of_images / "b.png", folder_of_images / "a.png"])[0].name == "b.png"


def test_bad_input_is_named(folder_of_images: Path, tmp_path: Path, make_network: Make) -> None:
    predictor = Predictor(make_network(), CLASSES, CONFIG)
    with pytest.raises(DataError, match="nowhere does not exist"):
        list(predictor.predict([tmp_path / "nowhere"]))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty holds no images"):
        list(predictor.predict([tmp_path / "empty"]))
    (tmp_path / "broken.png").write_bytes((folder_of_images / "a.png").read_bytes()[:200])
    with pytest.raises(DataError, match=r"broken\.png cannot be decoded"):
        list(predictor.predict([tmp_path / "broken.png"]))
    with pytest.raises(UserError, match="2 class names for a network of 3 classes"):
        Predictor(make_network(), ("a", "b"), CONFIG)
