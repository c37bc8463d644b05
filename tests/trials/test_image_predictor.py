"""Predictions against the evaluation of the network; geometry against drawn boxes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from torch.nn import functional as F

from venation.data.data_config import DataConfig
from venation.data.dataset import LeafDataset
from venation.data.loader import make_loader
from venation.data.manifest import Sample
from venation.data.transforms import as_tv_tensors, eval_image, eval_transform, fit_pair
from venation.errors import DataError, UsageError, UserError
from venation.models.network import Classification, MultitaskNetwork
from venation.models.network_config import DecoderConfig
from venation.trials import image_predictor
from venation.trials.boost import BoostData, fit_booster
from venation.trials.evaluate import evaluate
from venation.trials.features import extract_features
from venation.trials.geometry import to_original
from venation.trials.heat import class_heat
from venation.trials.predict import Predictor
from venation.trials.prediction import expand_paths
from venation.trials.trial_config import BoostConfig

from .conftest import CONFIG
from .whole_images import CopyNetwork

CPU = torch.device("cpu")
CLASSES = ("level", "slant", "upright")
Make = Callable[..., MultitaskNetwork]
Parts = tuple[list[Sample], list[Sample]]


def test_labels_equal_those_of_the_evaluation(parts: Parts, make_network: Make, unet: DecoderConfig) -> None:
    network = make_network(decoder=unet)
    paths = [sample.image for sample in parts[1]]
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


def test_whole_images_are_seen_at_their_own_size(tmp_path: Path, make_network: Make, unet: DecoderConfig) -> None:
    """MGANet's way: no crop, one image at a time; also in the evaluation's loader."""
    network, config = make_network(decoder=unet).eval(), CONFIG.model_copy(update={"fit": "whole"})
    sizes = [(40, 70), (64, 32), (37, 45)]
    samples = []
    for number, size in enumerate(sizes):
        noise = np.random.default_rng(number).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
        path, mask = tmp_path / f"{number}.png", tmp_path / f"mask{number}.png"
        Image.fromarray(noise).save(path)
        Image.fromarray((noise[..., 0] > 99).astype(np.uint8) * 255).save(mask)
        samples.append(Sample(path, CLASSES[number], mask=mask, group=None, split="val"))
    found = list(Predictor(network, CLASSES, config).predict([s.image for s in samples], batch_size=3, heat=True))
    batches = list(make_loader(LeafDataset(samples, CLASSES, config, train=False), batch_size=3, train=False, seed=0))
    for size, prediction, batch in zip(sizes, found, batches, strict=True):
        assert batch.image_BCHW.shape == (1, 3, *size[::-1]) and prediction.path is not None
        torch.testing.assert_close(batch.image_BCHW[0], eval_image(np.array(Image.open(prediction.path)), config))
        with torch.no_grad():
            output = network(batch.image_BCHW)
        probability = output.logits_BN.softmax(1)[0]
        assert prediction.probability == pytest.approx(float(probability.max()), rel=1e-5)
        logits = F.interpolate(output.mask_logits_B1HW, size[::-1], mode="bilinear")[0, 0].numpy()
        assert prediction.mask is not None and prediction.heat is not None
        np.testing.assert_array_equal(prediction.mask, np.where(logits > 0, 255, 0))
        assert prediction.heat.shape == size[::-1]
    scores = evaluate(network, batches, device=CPU, task="segment")
    pairs = [(p.mask > 0, np.asarray(Image.open(s.mask)) > 0) for p, s in zip(found, samples, strict=True)]
    both, either = (sum(int(join(*pair).sum()) for pair in pairs) for join in (np.logical_and, np.logical_or))
    assert scores["iou"] == pytest.approx(both / either)


def test_twelve_bits_are_predicted_like_the_same_picture_of_eight(tmp_path: Path, make_network: Make) -> None:
    values = np.random.default_rng(0).integers(0, 4096, (40, 40), dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "twelve.tif")
    Image.fromarray(np.rint(values / 4095 * 255).astype(np.uint8)).save(tmp_path / "eight.png")
    predictor = Predictor(make_network(), CLASSES, CONFIG.model_copy(update={"white": 4095.0}))
    eight, twelve = predictor.predict([tmp_path])
    assert twelve.top == eight.top
    (dark,) = Predictor(predictor.network, CLASSES, CONFIG).predict([tmp_path / "twelve.tif"])
    assert dark.top != eight.top


@pytest.mark.parametrize("fit", ["crop", "patch"])
def test_many_channels_are_read_from_arrays_and_tiffs(tmp_path: Path, fit: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 5), dtype=np.uint8)
    np.save(tmp_path / "a.npy", pixels)
    tifffile.imwrite(tmp_path / "b.tif", pixels, photometric="minisblack", planarconfig="contig")
    Image.fromarray(pixels[..., :3]).save(tmp_path / "c.png")
    np.save(tmp_path / "d.npy", pixels[..., :4])
    config = DataConfig(size=40, channels=5, fit=fit, mean=(0.5,) * 5)
    predictor = Predictor(CopyNetwork(), ("a", "b"), config)
    first, second, *others = predictor.predict_images(expand_paths([tmp_path]))
    np.testing.assert_array_equal(first.mask > 0, pixels[..., 0] > 127.5)
    np.testing.assert_array_equal(second.mask, first.mask)
    reasons = [f"it has {channels} channels, and 5 are needed" for channels in (3, 4)]
    assert all(reason in str(error) for reason, error in zip(reasons, others, strict=True))


def test_a_booster_decides_the_label(parts: Parts, make_network: Make) -> None:
    network = make_network()
    features = extract_features(lambda: network, parts[1], CLASSES, CONFIG, device=CPU, cache=None, weights_hash="w")
    fit = fit_booster(BoostData(features, features), BoostConfig(rounds=10), num_classes=3)
    list(fit)
    found = list(Predictor(network, CLASSES, CONFIG, booster=fit.booster).predict([i.image for i in parts[1]]))
    expected = fit.booster.predict(features.x)
    np.testing.assert_allclose([p.probability for p in found], expected.max(1), rtol=1e-3)
    assert [p.label for p in found] == [CLASSES[at] for at in expected.argmax(1)]
    assert found[0].mask is None


@pytest.mark.parametrize("view", [{}, {"size": "32x64"}, {"size": "64x32", "zoom": 1.5}], ids=str)
@pytest.mark.parametrize("fit", ["squash", "pad", "crop"])
def test_masks_and_heat_have_the_images_size(
    folder_of_images: Path, make_network: Make, unet: DecoderConfig, fit: str, view: dict[str, Any]
) -> None:
    config = DataConfig(**({"size": 32, "fit": fit} | view | ({"fit": "squash"} if "zoom" in view else {})))
    predictor = Predictor(make_network(decoder=unet), CLASSES, config)
    first, second = predictor.predict([folder_of_images], heat=True)
    for prediction, shape in ((first, (30, 40)), (second, (50, 30))):
        assert prediction.mask is not None and prediction.heat is not None
        assert prediction.mask.shape == prediction.heat.shape == shape
        assert prediction.mask.dtype == np.uint8 and set(np.unique(prediction.mask)) <= {0, 255}
        assert prediction.heat.dtype == np.float32
        assert prediction.heat.min() >= 0 and prediction.heat.max() == 1


SIZES = [(40, 30), (30, 50), (100, 40), (20, 25), (33, 32)]


def waves(size: tuple[int, int]) -> np.ndarray:
    """Return a smooth grey image of (width, height) without symmetry."""
    down, across = np.mgrid[: size[1], : size[0]]
    return (127 + 60 * np.sin(across / 7) + 60 * np.cos(down / 9)).astype(np.uint8)


@pytest.mark.parametrize(
    ("fit", "view"),
    [
        ("squash", 64),
        ("squash", "48x96"),
        ("pad", 64),
        ("pad", "48x96"),
        ("pad", "96x48"),
        ("crop", 32),
        ("crop", "24x36"),
        ("whole", "24x36"),
    ],
)
@pytest.mark.parametrize("size", SIZES)
def test_a_map_of_the_view_is_mapped_back_to_the_image(fit: str, view: int | str, size: tuple[int, int]) -> None:
    """The view's brightness, mapped back, must equal the image inside the view."""
    grey = waves(size)
    config = DataConfig(size=view, fit=fit, mean=(0, 0, 0), std=(1, 1, 1))
    seen_HW = eval_image(np.repeat(grey[..., None], 3, 2), config)[0].numpy()
    back = to_original(seen_HW, size, config, fill=-1.0)
    assert back.shape == grey.shape
    seen = back >= 0
    if fit == "crop":
        height, width = config.size_HW
        assert seen.sum() == min(size[0], width) * min(size[1], height)
        np.testing.assert_allclose(back[seen] * 255, grey[seen], atol=1e-3)
    elif fit == "whole":
        np.testing.assert_allclose(back * 255, grey, atol=1e-3)
    else:
        assert seen.all()
        assert np.abs(back * 255 - grey).mean() < 4


@pytest.mark.parametrize("view", [64, "48x96"])
@pytest.mark.parametrize("size", SIZES)
def test_a_zoomed_view_is_mapped_back_to_the_centre(view: int | str, size: tuple[int, int]) -> None:
    grey = waves(size)
    config = DataConfig(size=view, zoom=1.5, mean=(0, 0, 0), std=(1, 1, 1))
    seen_HW = eval_image(np.repeat(grey[..., None], 3, 2), config)[0].numpy()
    back = to_original(seen_HW, size, config, fill=-np.inf)
    # A pixel is visible if its centre, (i + 1/2) / length, lies in the middle two thirds, from 1/6
    # to below 5/6.
    across, down = ((6 * np.arange(n) + 3 >= n) & (6 * np.arange(n) + 3 < 5 * n) for n in size)
    seen = down[:, None] & across
    np.testing.assert_array_equal(np.isfinite(back), seen)
    assert np.abs(back[seen] * 255 - grey[seen]).mean() < 4


@pytest.mark.parametrize(
    "view",
    [
        {"size": "48x96"},
        {"size": "96x48", "fit": "pad"},
        {"size": "48x96", "fit": "pad"},
        {"size": "24x36", "fit": "crop"},
        {"size": 64, "zoom": 510 / 384},
        {"size": "48x96", "zoom": 1.25},
    ],
    ids=str,
)
@pytest.mark.parametrize("size", SIZES)
def test_a_mask_survives_the_mapping_to_the_view_and_back(view: dict[str, Any], size: tuple[int, int]) -> None:
    """The visible part of an off-centre ellipse comes back, except along its edge."""
    config = DataConfig(**view)
    down, across = np.mgrid[: size[1], : size[0]]
    drawn = (((across / size[0] - 0.4) / 0.3) ** 2 + ((down / size[1] - 0.6) / 0.25) ** 2 < 1).astype(np.uint8)
    stage = fit_pair(np.zeros((*size[::-1], 3), np.uint8), drawn, config)
    _, mask_1VU = eval_transform(config)(*as_tv_tensors(stage))
    back = to_original(mask_1VU[0].numpy(), size, config, fill=np.nan)
    seen = ~np.isnan(back)
    assert seen.mean() > 0.15 and 0 < drawn[seen].mean() < 1
    found = back[seen] > 0.5
    overlap = (found & (drawn[seen] == 1)).sum() / (found | (drawn[seen] == 1)).sum()
    assert overlap > 0.85


@pytest.mark.parametrize("fit", ["squash", "patch"])
def test_a_heat_map_of_a_chosen_class(fit: str, folder_of_images: Path, make_network: Make) -> None:
    """The map of each class is that of ``class_heat``; the default is the map of the answer."""
    network = make_network()
    config = CONFIG.model_copy(update={"fit": fit, "size": 96})  # at 32 pixels the level has one position
    predictor = Predictor(network, CLASSES, config)
    path = folder_of_images / "a.png"
    maps = {}
    for name in CLASSES:
        (prediction,) = predictor.predict([path], heat=name)
        assert prediction.heat is not None
        maps[name] = prediction.heat
    (answer,) = predictor.predict([path], heat=True)
    np.testing.assert_array_equal(answer.heat, maps[answer.label])
    assert len({each.tobytes() for each in maps.values()}) > 1
    if fit == "squash":
        with Image.open(path) as image:
            levels, size = network.encoder(eval_image(np.array(image), config)[None]), image.size
        for number, name in enumerate(CLASSES):
            heat_hw = class_heat(network, levels, torch.tensor([number]))[0]
            heat_HW = to_original(heat_hw.numpy(), size, config, fill=0.0)
            np.testing.assert_allclose(maps[name], heat_HW / heat_HW.max(), atol=1e-5)
    with pytest.raises(UsageError, match="no class is called `slanted`: a heat map can be of slant"):
        list(predictor.predict([path], heat="slanted"))


def test_heat_uses_the_levels_that_the_network_classifies_from(
    folder_of_images: Path, make_network: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heat maps use the network's levels, also with a frozen base and with flips."""
    network = make_network()
    network.freeze_base()
    seen: list[list[torch.Tensor]] = []
    original = network.classify

    def classify(levels: list[torch.Tensor]) -> Classification:
        seen.append([level.detach().clone() for level in levels])
        return original(levels)

    monkeypatch.setattr(network, "classify", classify)
    config = CONFIG.model_copy(update={"hflip": 0.5})
    predictor = Predictor(network, CLASSES, config, flips=True)
    (prediction,) = predictor.predict([folder_of_images / "a.png"], heat=True)
    forward, mirrored, heat = seen
    assert all(torch.equal(*pair) for pair in zip(forward, heat, strict=True))
    assert not torch.equal(forward[-1], mirrored[-1])
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


def test_a_batch_ends_when_its_images_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_predictor, "_BATCH_BYTES", 2 * 10 * 10 * 3)
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    for path in paths:
        Image.new("RGB", (10, 10)).save(path)
    paths[2].write_bytes(b"no image")
    batches = list(image_predictor._batches(paths, CONFIG, 16))
    assert [[path for path, _ in batch] for batch in batches] == [paths[:2], paths[2:5], paths[5:]]
    assert [len(batch) for batch in image_predictor._batches(paths, CONFIG, 1)] == [1] * 6
    assert list(image_predictor._batches([], CONFIG, 16)) == []


def test_bad_input_is_named(folder_of_images: Path, tmp_path: Path, make_network: Make) -> None:
    predictor = Predictor(make_network(), CLASSES, CONFIG)
    with pytest.raises(DataError, match="nowhere does not exist"):
        list(predictor.predict([tmp_path / "nowhere"]))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty has no images"):
        list(predictor.predict([tmp_path / "empty"]))
    (tmp_path / "broken.png").write_bytes((folder_of_images / "a.png").read_bytes()[:200])
    with pytest.raises(DataError, match=r"broken\.png cannot be decoded"):
        list(predictor.predict([tmp_path / "broken.png"]))
    with pytest.raises(UserError, match="2 class names for a network of 3 classes"):
        Predictor(make_network(), ("a", "b"), CONFIG)
