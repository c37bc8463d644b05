"""Evaluation against brute force on network outputs; intervals against their definition."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from venation.data.dataset import Batch, LeafDataset
from venation.data.loader import make_loader
from venation.data.manifest import Sample
from venation.errors import DataError
from venation.models.network import MultitaskNetwork
from venation.models.network_config import DecoderConfig
from venation.trials.boundary import boundary_f
from venation.trials.evaluate import Outcomes, collect_outcomes, evaluate, score, score_outcomes, score_probabilities
from venation.trials.mask_metrics import MaskOutcomes
from venation.trials.metrics import LabelOutcomes

from .conftest import CONFIG

CPU = torch.device("cpu")
Make = Callable[..., MultitaskNetwork]
Parts = tuple[list[Sample], list[Sample]]


def batches(parts: Parts, stripes_classes: tuple[str, ...], batch_size: int = 4) -> list[Batch]:
    dataset = LeafDataset(parts[1], stripes_classes, CONFIG, train=False)
    return list(make_loader(dataset, batch_size=batch_size, train=False, seed=0))


CLASSES = ("level", "slant", "upright")


def test_classify_metrics_equal_those_of_the_logits(parts: Parts, make_network: Make) -> None:
    network = make_network()
    found = evaluate(network, batches(parts, CLASSES), device=CPU, task="classify")
    network.eval()
    with torch.no_grad():
        whole = batches(parts, CLASSES, batch_size=99)[0]
        logits = network(whole.image_BCHW).logits_BN
    assert found["accuracy"] == pytest.approx(float((logits.argmax(1) == whole.label_B).float().mean()))
    assert found["logloss"] == pytest.approx(float(F.cross_entropy(logits, whole.label_B)), rel=1e-5)
    assert set(found) == {"accuracy", "macro_f1", "logloss", "ece"}


def test_the_mode_of_the_network_is_restored(parts: Parts, make_network: Make) -> None:
    network = make_network().train()
    evaluate(network, batches(parts, CLASSES), device=CPU, task="classify")
    assert network.training


def test_segment_metrics_equal_brute_force(parts: Parts, make_network: Make, unet: DecoderConfig) -> None:
    network = make_network(decoder=unet)
    loader = batches(parts, CLASSES)
    found = evaluate(network, loader, device=CPU, task="segment")
    both = either = cells_both = cells_either = 0
    refs = []
    network.eval()
    for batch in loader:
        with torch.no_grad():
            logits = network(batch.image_BCHW).mask_logits_B1HW
        full = F.interpolate(logits, batch.mask_B1HW.shape[-2:], mode="bilinear").numpy() > 0
        actual = batch.mask_B1HW.numpy() > 0
        both += int((full & actual).sum())
        either += int((full | actual).sum())
        step = batch.mask_B1HW.shape[-1] // logits.shape[-1]
        if step == 2:
            coarse = F.max_pool2d(batch.mask_B1HW, 2).numpy() > 0
            guess = torch.sigmoid(logits).numpy() > 0.5
            half = F.avg_pool2d(batch.mask_B1HW, 2).numpy() >= 0.5
            cells_both += int((guess & half).sum())
            cells_either += int((guess | half).sum())
            refs.append(((guess & coarse).sum() + 1e-9) / ((guess | coarse).sum() + 1e-9))
    assert found["iou"] == pytest.approx(both / either)
    assert refs, "the decoder's logits have half the input's size"
    assert found["iou_ref"] == pytest.approx(np.mean(refs))
    assert found["iou_cells"] == pytest.approx(cells_both / cells_either)
    assert set(found) == {"iou", "iou_cells", "iou_ref", "dice", "bce"}


def test_full_size_logits_have_no_separate_cell_iou(parts: Parts, make_network: Make, unet: DecoderConfig) -> None:
    network = make_network(decoder=unet.model_copy(update={"full_size": True}))
    assert "iou_cells" not in evaluate(network, batches(parts, CLASSES), device=CPU, task="segment")


def test_boundaries_are_scored_by_image_on_request(parts: Parts, make_network: Make, unet: DecoderConfig) -> None:
    network = make_network(decoder=unet)
    loader = batches(parts, CLASSES)
    found = collect_outcomes(network, loader, device=CPU, segment=True, boundaries=True).masks
    assert found is not None and found.boundary_I is not None
    expected = []
    for batch in loader:
        with torch.no_grad():
            logits = network.eval()(batch.image_BCHW).mask_logits_B1HW
        full = F.interpolate(logits, batch.mask_B1HW.shape[-2:], mode="bilinear")
        expected += [boundary_f(a[0].numpy() > 0, b[0].numpy() > 0) for a, b in zip(full, batch.mask_B1HW, strict=True)]
    np.testing.assert_allclose(found.boundary_I, expected)
    plain = collect_outcomes(network, loader, device=CPU, segment=True).masks
    assert plain is not None and plain.boundary_I is None


def test_images_without_masks_do_not_count(parts: Parts, make_network: Make, unet: DecoderConfig) -> None:
    network = make_network(decoder=unet)
    loader = batches(parts, CLASSES, batch_size=3)
    some = [batch._replace(has_mask_B=torch.tensor([index == 0] * 3)) for index, batch in enumerate(loader)]
    first = evaluate(network, loader[:1], device=CPU, task="segment")
    assert evaluate(network, some, device=CPU, task="segment") == first


def test_missing_images_masks_or_decoder_raise(parts: Parts, make_network: Make, unet: DecoderConfig) -> None:
    with pytest.raises(DataError, match="no images"):
        evaluate(make_network(), [], device=CPU, task="classify")
    bare = [batch._replace(has_mask_B=torch.zeros_like(batch.has_mask_B)) for batch in batches(parts, CLASSES)]
    with pytest.raises(DataError, match="no image of this split has a mask"):
        evaluate(make_network(decoder=unet), bare, device=CPU, task="segment")
    with pytest.raises(ValueError, match="no decoder"):
        evaluate(make_network(), bare, device=CPU, task="segment")


def test_every_score_lies_within_its_interval(parts: Parts, make_network: Make, unet: DecoderConfig) -> None:
    network = make_network(decoder=unet)
    loader = batches(parts, CLASSES, batch_size=2)
    scores = score(network, loader, device=CPU, seed=1)
    assert set(scores) == {
        *("accuracy", "macro_f1", "logloss", "ece"),
        *("iou", "iou_cells", "iou_ref", "dice", "boundary_f", "bce"),
    }
    assert all(s.low <= s.high for s in scores.values())
    assert all(s.low <= s.value <= s.high for name, s in scores.items() if name not in ("macro_f1", "ece"))
    assert scores == score(network, loader, device=CPU, seed=1)
    assert scores["logloss"] != score(network, loader, device=CPU, seed=2)["logloss"]


def test_the_accuracy_interval_is_binomial() -> None:
    rng = np.random.default_rng(0)
    hit = rng.random(400) < 0.7
    probability = np.stack([np.where(hit, 0.9, 0.1), np.where(hit, 0.1, 0.9)], axis=1)
    found = score_probabilities(probability, np.zeros(400, dtype=np.int64), seed=0)["accuracy"]
    half = 1.96 * np.sqrt(hit.mean() * (1 - hit.mean()) / 400)
    assert found.value == hit.mean()
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.15)


@pytest.mark.parametrize(("hits", "images"), [(27, 27), (0, 27), (20, 27), (1, 1), (350, 400)])
def test_shares_have_wilson_intervals(hits: int, images: int) -> None:
    guess = (np.arange(images) >= hits).astype(int)
    probability = np.eye(6)[guess] * 0.9 + 0.01
    found = score_probabilities(probability, np.zeros(images, dtype=np.int64))
    # Wilson 1927, written out.
    z2 = 1.959964**2
    centre = (hits + z2 / 2) / (images + z2)
    half = np.sqrt(z2 * (hits * (images - hits) / images + z2 / 4)) / (images + z2)
    assert found["accuracy"].value == hits / images
    assert (found["accuracy"].low, found["accuracy"].high) == pytest.approx((centre - half, centre + half), abs=1e-6)
    # The true class is always among the first three, also where it is not the first.
    assert found["top3"].value == 1 and found["top3"].low == pytest.approx(images / (images + z2))
    if hits == images == 27:
        assert found["accuracy"].low == pytest.approx(0.875, abs=5e-4) and found["accuracy"].high == 1
        assert found["macro_f1"] == found["accuracy"], "no resample differs"
    assert all(found[name].low < found[name].high for name in ("accuracy", "macro_f1", "top3"))


def test_masks_are_resampled_by_image() -> None:
    labels = LabelOutcomes.of(np.full((9, 2), 0.5), np.zeros(9, dtype=np.int64))
    part = np.arange(1, 10)
    alike = MaskOutcomes(part * 2, part * 3, part * 4, np.ones(9))
    found = score_outcomes(Outcomes(labels, alike, np.array([0.5])), resamples=50)
    assert found["iou"].low == found["iou"].high == pytest.approx(2 / 5)
    spread = score_outcomes(
        Outcomes(labels, MaskOutcomes(part, part * 0 + 9, part * 0 + 9, np.ones(9)), np.array([0.5])), resamples=50
    )["iou"]
    assert spread.value == pytest.approx(45 / 117)
    assert spread.low < spread.value < spread.high
