"""Whole images are scored at their own size, as NumPy scores the stitched masks."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_jaccard_index

from venation.data.batch import Batch, WindowBatch, Windows
from venation.data.data_config import DataConfig
from venation.data.dataset import LeafDataset
from venation.data.images import read_image, read_mask
from venation.data.loader import make_loader
from venation.data.manifest import load_manifest
from venation.data.pixels import size_of
from venation.data.windows import WindowGrid
from venation.trials.boundary import boundary_f
from venation.trials.evaluate import collect_outcomes, evaluate
from venation.trials.greedy_ensemble import class_probabilities, mask_logits, mean_mask_metrics
from venation.trials.mask_counts import MaskCounter

from .whole_images import CopyNetwork, write_pair

CPU = torch.device("cpu")
CONFIG = DataConfig(size=32, fit="patch")
SIZES = ((70, 45), (33, 90), (20, 25))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    for seed, (height, width) in enumerate(SIZES):
        write_pair(folder, height, width, seed=seed, label="ab"[seed % 2])
    return folder


def loader(data: Path, config: DataConfig = CONFIG, batch_size: int = 3):
    manifest = load_manifest(data)
    dataset = LeafDataset(manifest.samples, manifest.classes, config, train=False)
    return make_loader(dataset, batch_size=batch_size, train=False, seed=0)


def logits_and_masks(data: Path, config: DataConfig = CONFIG) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the red channel, normalised, of every image and its mask, both at full size."""
    pairs = []
    for sample in load_manifest(data).samples:
        image = read_image(sample.image)
        red = (np.asarray(image)[..., 0] / 255 - config.mean[0]) / config.std[0]
        pairs.append((red, read_mask(sample.mask, size_of(image))))
    return pairs


def test_the_metrics_are_those_of_the_whole_masks(data: Path) -> None:
    found = collect_outcomes(CopyNetwork(), loader(data), device=CPU, segment=True, boundaries=True)
    pairs = logits_and_masks(data)
    both = np.array([((red > 0) & (mask > 0)).sum() for red, mask in pairs])
    sizes = np.array([((red > 0).sum(), mask.sum()) for red, mask in pairs])
    np.testing.assert_array_equal(found.masks.intersection_I, both)
    np.testing.assert_array_equal(np.stack([found.masks.predicted_I, found.masks.actual_I], 1), sizes)
    bce = [np.mean(np.logaddexp(0, red) - mask * red) for red, mask in pairs]
    np.testing.assert_allclose(found.masks.bce_I, bce, rtol=1e-5)
    edges = [boundary_f(red > 0, mask > 0) for red, mask in pairs]
    np.testing.assert_allclose(found.masks.boundary_I, edges)
    metrics = found.metrics()
    assert metrics["iou"] == pytest.approx(both.sum() / (sizes.sum() - both.sum()))
    assert metrics["dice"] == pytest.approx(2 * both.sum() / sizes.sum())
    assert "iou_cells" not in metrics
    assert metrics["iou_ref"] == pytest.approx(np.mean(both / (sizes.sum(1) - both)))
    assert evaluate(CopyNetwork(), loader(data), device=CPU, task="segment")["iou"] == metrics["iou"]


def test_the_batch_size_changes_nothing(data: Path) -> None:
    one, many = (
        collect_outcomes(CopyNetwork(), loader(data, batch_size=size), device=CPU, segment=True).metrics()
        for size in (1, 99)
    )
    assert one == pytest.approx(many, rel=1e-5)


def test_a_scaled_copy_is_scored_at_the_true_size(data: Path) -> None:
    config = CONFIG.model_copy(update={"scale": 2.0})
    found = collect_outcomes(CopyNetwork(), loader(data, config), device=CPU, segment=True).masks
    assert found.actual_I.tolist() == [int(mask.sum()) for _, mask in logits_and_masks(data)]
    # Up and down again changes a smooth image little.
    expected = [int((red > 0).sum()) for red, _ in logits_and_masks(data)]
    np.testing.assert_allclose(found.predicted_I, expected, rtol=0.05)


def test_labels_are_means_over_the_windows(data: Path) -> None:
    windows = list(loader(data))
    network = CopyNetwork()
    found, labels = class_probabilities(network, loader(data), device=CPU)
    assert labels.tolist() == [0, 0, 1]
    for image in range(3):
        mine = torch.cat([batch.image_BCHW for batch in windows if batch.windows.image == image])
        expected = network(mine).logits_BN.softmax(dim=1).mean(dim=0)
        np.testing.assert_allclose(found[image], expected, rtol=1e-5)
    outcomes = collect_outcomes(network, loader(data), device=CPU, segment=False)
    np.testing.assert_allclose(outcomes.labels.confidence_I, found.max(axis=1), rtol=1e-5)


def test_an_image_without_a_mask_is_left_out(data: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        write_pair(tmp_path, 40, 40, seed=seed)
    (tmp_path / "masks" / "a" / "0.png").unlink()
    found = collect_outcomes(CopyNetwork(), loader(tmp_path), device=CPU, segment=True).masks
    assert len(found.actual_I) == 1


def test_members_of_an_ensemble_are_averaged_window_by_window(data: Path) -> None:
    members = [mask_logits(network, loader(data), device=CPU) for network in (CopyNetwork(), CopyNetwork(2))]
    alone = mean_mask_metrics(members[:1], loader(data))
    assert alone["iou"] == pytest.approx(
        evaluate(CopyNetwork(), loader(data), device=CPU, task="segment")["iou"], rel=1e-2
    )
    together = mean_mask_metrics(members, loader(data))
    assert together["bce"] > 0 and together["iou"] != alone["iou"]


def test_the_boundary_score_of_parts_is_that_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    maps = [F.interpolate(torch.tensor(rng.normal(size=(1, 1, 9, 12))), (150, 200)).numpy()[0, 0] > 0 for _ in range(2)]
    whole = boundary_f(*maps)
    monkeypatch.setattr("venation.trials.boundary._PART", 32)
    assert boundary_f(*maps) == pytest.approx(whole) and 0 < whole < 1


def test_classes_are_counted_as_torchmetrics_does_in_batches_and_in_windows() -> None:
    random = np.random.default_rng(3)
    mask_HW = random.integers(0, 3, (40, 56), dtype=np.uint8)
    logits_3HW = torch.tensor(random.normal(size=(3, 40, 56)), dtype=torch.float32)
    actual, predicted = torch.from_numpy(mask_HW.astype(np.int64)), logits_3HW.argmax(0)
    wanted = multiclass_jaccard_index(predicted, actual, num_classes=3, average="none")[1:].tolist()
    mask_11HW = torch.from_numpy(mask_HW)[None, None]
    batch = Batch(torch.zeros(1, 3, 40, 56), torch.zeros(1, dtype=torch.int64), mask_11HW.float(), torch.tensor([True]))
    counter = MaskCounter(boundaries=True, classes=("vein", "lesion"))
    counter.add(logits_3HW[None], batch)
    grid = WindowGrid((40, 56), (40, 56))
    whole = MaskCounter(boundaries=True, classes=("vein", "lesion"))
    whole.add(logits_3HW[None], WindowBatch.of(batch.image_BCHW, 0, Windows(grid, 0, 0, (40, 56), mask_11HW[0])))
    entropy = F.cross_entropy(logits_3HW[None], actual[None])
    for each in (counter, whole):
        outcomes = each.outcomes()
        assert outcomes is not None and len(each.reference_ious()) == 0
        found = {name: metric(outcomes) for name, metric in outcomes.metrics().items()}
        assert [found["iou/vein"], found["iou/lesion"]] == pytest.approx(wanted, rel=1e-5)
        assert found["iou"] == pytest.approx(np.mean(wanted), rel=1e-5)
        assert found["bce"] == pytest.approx(float(entropy), rel=1e-5)
        scores = [boundary_f((predicted == k).numpy(), (actual == k).numpy()) for k in (1, 2)]
        assert found["boundary_f"] == pytest.approx(np.mean(scores))


def test_cells_of_several_classes_belong_to_the_one_that_covers_most() -> None:
    mask = torch.tensor([[1, 1, 2, 0], [0, 1, 2, 2]], dtype=torch.float32)[None, None]
    logits = torch.zeros(1, 3, 1, 2)
    logits[0, 1] = 1.0
    batch = Batch(torch.zeros(1, 3, 2, 4), torch.zeros(1, dtype=torch.int64), mask, torch.tensor([True]))
    counter = MaskCounter(boundaries=False, classes=("vein", "lesion"))
    counter.add(logits, batch)
    outcomes = counter.outcomes()
    assert outcomes is not None and outcomes.cells is not None
    np.testing.assert_array_equal(outcomes.cells.intersection_I, [[1, 0]])
    np.testing.assert_array_equal(outcomes.cells.predicted_I, [[2, 0]])
    np.testing.assert_array_equal(outcomes.cells.actual_I, [[1, 1]])
