"""Predictions as COCO and as pre-annotations of Label Studio, read by others and by our import."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image

from venation.bundles.annotations import Annotations, check_target
from venation.bundles.prediction_files import PredictionFolder, Run
from venation.bundles.write_coco import write_coco
from venation.bundles.write_label_studio import write_label_studio
from venation.data.data_config import DataConfig
from venation.data.importers import import_data
from venation.data.manifest import load_manifest
from venation.errors import UsageError, UserError
from venation.trials.prediction import Prediction

CLASSES = ("ash & elm", "=oak")
PARTS = ("blade", "vein")
NAMES = ("a.png", "ash/b ü+.png", "ash/c.png")


class Made:
    """Three images with masks, and their predictions in the folder ``out``."""

    def __init__(self, folder: Path, mask_classes: tuple[str, ...] = (), *, masks: bool = True) -> None:
        random = np.random.default_rng(0)
        self.photos, self.out = folder / "photos", folder / "out"
        self.images = [self.photos / name for name in NAMES]
        self.masks: list[np.ndarray] = []
        run = Run(("mask",), threshold=0.6)
        output = PredictionFolder(self.out, self.images, DataConfig(), run)
        for number, path in enumerate(self.images):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 256, (30 + number, 41, 3), dtype=np.uint8)).save(path)
            # Runs of several lengths; the last mask is empty.
            mask = np.kron(random.integers(0, 3, (6, 41)), np.ones((6, 1), int))[: 30 + number] * (number < 2)
            self.masks.append(mask if mask_classes else np.where(mask > 1, 255, 0))
            label, share = CLASSES[number % 2], 0.5 + 0.2 * number
            top = [(label, share)]
            given = self.masks[-1].astype(np.uint8) if masks else None
            output.add(Prediction(path, label, share, top, given, None, mask_classes=mask_classes), path)
        output.close()
        self.found = Annotations(self.out, self.images, CLASSES, mask_classes)


def unpacked(code: list[int], height: int, width: int) -> np.ndarray:
    """Decode Label Studio's brush bit by bit, as the package rle-pack describes its bytes."""
    bits = iter("".join(f"{byte:08b}" for byte in code))

    def number(count: int) -> int:
        return int("".join(next(bits) for _ in range(count)), 2)

    total, word = number(32), number(5) + 1
    widths = [number(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < total:
        is_run = number(1)
        count = number(widths[number(2)]) + 1
        values += [number(word)] * count if is_run else [number(word) for _ in range(count)]
    return np.array(values).reshape(height, width, 4)[..., 3]


def imported(layout: str, source: Path, out: Path, **options: str) -> dict[str, tuple[str, np.ndarray | None]]:
    """Return label and mask of each image that ``data import`` makes of a folder, by its name."""
    import_data(layout, source, out, **options)
    found = {}
    for sample in load_manifest(out).samples:
        mask = None if sample.mask is None else np.asarray(Image.open(sample.mask))
        found[sample.image.name] = (sample.label, mask)
    return found


# pycocotools itself is behind NumPy 2.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_pycocotools_reads_the_masks(tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    made = Made(tmp_path)
    write_coco(tmp_path / "new" / "coco.json", made.found)
    read = coco.COCO(str(tmp_path / "new" / "coco.json"))
    assert [read.imgs[number]["file_name"] for number in (1, 2, 3)] == list(NAMES)
    assert [read.cats[number]["name"] for number in (1, 2)] == list(CLASSES)
    for number, mask in enumerate(made.masks, 1):
        (each,) = read.loadAnns(read.getAnnIds(imgIds=[number]))
        assert (read.annToMask(each) == (mask > 0)).all() and each["area"] == (mask > 0).sum()
        assert read.cats[each["category_id"]]["name"] == CLASSES[(number - 1) % 2]
        assert each["score"] == pytest.approx(0.3 + 0.2 * number)
        if mask.any():
            assert each["bbox"] == coco.maskUtils.toBbox(read.annToRLE(each)).tolist()
    # An image keeps its answer beside its label.
    assert [read.imgs[number]["answer"] for number in (1, 2, 3)] == ["unknown", CLASSES[1], CLASSES[0]]


def test_our_import_reads_labels_and_masks_of_the_coco_file_again(tmp_path: Path) -> None:
    made = Made(tmp_path)
    write_coco(made.photos / "coco.json", made.found)
    found = imported("coco", made.photos, tmp_path / "data")
    for number, (path, mask) in enumerate(zip(made.images, made.masks, strict=True)):
        label, again = found[path.name]
        assert label == CLASSES[number % 2] and again is not None and (again == mask).all()


def test_of_mask_classes_each_is_a_category(tmp_path: Path) -> None:
    made = Made(tmp_path, PARTS)
    write_coco(made.photos / "coco.json", made.found)
    content = json.loads((made.photos / "coco.json").read_text())
    assert [each["name"] for each in content["categories"]] == list(PARTS)
    assert [each["image_id"] for each in content["annotations"]] == [1, 1, 2, 2]
    assert [each["label"] for each in content["images"]] == [CLASSES[0], CLASSES[1], CLASSES[0]]
    (made.photos / "elm").mkdir()
    (made.photos / "a.png").rename(made.photos / "elm" / "a.png")
    found = imported("coco", made.photos, tmp_path / "data", label_from="folder")
    for path, mask, label in zip(made.images, made.masks, ("elm", "ash"), strict=False):
        assert found[path.name][0] == label and (found[path.name][1] == mask).all()


def test_without_masks_an_annotation_is_the_whole_image(tmp_path: Path) -> None:
    made = Made(tmp_path, masks=False)
    write_coco(made.photos / "coco.json", made.found)
    content = json.loads((made.photos / "coco.json").read_text())
    assert [each["bbox"] for each in content["annotations"]] == [[0, 0, 41, 30 + number] for number in range(3)]
    found = imported("coco", made.photos, tmp_path / "data")
    assert [found[path.name][0] for path in made.images] == [CLASSES[0], CLASSES[1], CLASSES[0]]


@pytest.mark.parametrize("mask_classes", [(), PARTS])
def test_tasks_of_label_studio_have_choices_and_brushes(tmp_path: Path, mask_classes: tuple[str, ...]) -> None:
    made = Made(tmp_path, mask_classes)
    write_label_studio(tmp_path / "tasks.json", made.found, version="soy 0123")
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    view = ElementTree.parse(tmp_path / "tasks.xml").getroot()
    brushes = [label.get("value") for label in view.iter("Label")]
    assert [choice.get("value") for choice in view.iter("Choice")] == list(CLASSES)
    assert brushes == list(mask_classes or ("structure",))
    names = {view.find("Choices").get("name"): "choices", view.find("BrushLabels").get("name"): "brushlabels"}  # type: ignore[union-attr]
    for number, (task, mask) in enumerate(zip(tasks, made.masks, strict=True)):
        (place,) = parse_qs(urlsplit(task["data"]["image"]).query)["d"]
        assert (tmp_path / place).samefile(made.images[number])
        (prediction,) = task["predictions"]
        assert prediction["model_version"] == "soy 0123" and prediction["score"] == pytest.approx(0.5 + 0.2 * number)
        results = prediction["result"]
        assert all(result["type"] == names[result["from_name"]] for result in results)
        choices = [result["value"]["choices"] for result in results if result["type"] == "choices"]
        # Below the threshold the person decides.
        assert choices == ([] if number == 0 else [[CLASSES[number % 2]]])
        drawn = {
            result["value"]["brushlabels"][0]: unpacked(result["value"]["rle"], 30 + number, 41)
            for result in results
            if result["type"] == "brushlabels"
        }
        expected = {name: mask == place for place, name in enumerate(mask_classes, 1)} or {"structure": mask > 0}
        assert set(drawn) == {name for name, each in expected.items() if each.any()}
        assert all((drawn[name] == expected[name] * 255).all() for name in drawn)


def test_our_import_reads_the_tasks_again(tmp_path: Path) -> None:
    made = Made(tmp_path)
    made.found = Annotations(made.out, made.images[1:], CLASSES, ())
    (made.photos / "a.png").unlink()
    write_label_studio(made.photos / "tasks.json", made.found, version="soy")
    found = imported("label-studio", tmp_path / "photos", tmp_path / "data")
    assert {name: label for name, (label, _) in found.items()} == {"b ü+.png": CLASSES[1], "c.png": CLASSES[0]}
    mask = found["b ü+.png"][1]
    assert mask is not None and (mask == made.masks[1]).all()


def test_targets_that_are_no_json_and_lost_masks_are_refused(tmp_path: Path) -> None:
    for target in (tmp_path / "coco.xml", tmp_path):
        with pytest.raises(UsageError, match=r"--coco .* ends in \.json"):
            check_target(target, "--coco")
    made = Made(tmp_path)
    (made.out / "masks" / "c.png").unlink()
    with pytest.raises(UserError, match=r"cannot read the mask .*c\.png"):
        write_coco(tmp_path / "coco.json", made.found)
    assert not (tmp_path / "coco.json").exists() and not list(tmp_path.glob(".coco*"))
