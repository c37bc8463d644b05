import json
from pathlib import Path

import numpy as np
import pytest

from venation.trials.image_masks import ImageMasks
from venation.trials.mask_metrics import MaskOutcomes

# Worked by hand: IoU 6 / (8 + 10 - 6) and 2 / (4 + 2 - 2).
COUNTS = MaskOutcomes(np.array([6, 2]), np.array([8, 4]), np.array([10, 2]), np.array([0.25, 0.5]))


def test_counts_survive_their_file(tmp_path: Path) -> None:
    written = ImageMasks(("a.png", "b.png"), COUNTS).write(tmp_path / "masks.json")
    read = ImageMasks.read(written)
    assert read.images == ("a.png", "b.png") and read.iou_I() == pytest.approx([0.5, 0.5])
    assert json.loads(written.read_text())["intersection"] == [6, 2]
    assert read.masks.bce_I.tolist() == [0.25, 0.5]


def test_the_iou_of_an_image_is_the_mean_of_its_mask_classes() -> None:
    pairs = [np.array([[6, 2]]), np.array([[8, 4]]), np.array([[10, 8]])]
    masks = MaskOutcomes(*pairs, bce_I=np.zeros(1), classes=("vein", "lesion"))
    # Classes: 6 / 12 and 2 / 10.
    assert ImageMasks(("a.png",), masks).iou_I() == pytest.approx([(0.5 + 0.2) / 2])


def test_folds_are_joined_in_order() -> None:
    joined = ImageMasks.joined([ImageMasks(("a", "b"), COUNTS), ImageMasks(("c", "d"), COUNTS)])
    assert joined.images == ("a", "b", "c", "d") and joined.masks.actual_I.tolist() == [10, 2, 10, 2]
