"""`venation try` end to end, on leaves with a class of one image and a test split of their own."""

import csv
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small_bundle import BAD_DATA, EXPECTED_FAILURE, MISUSE, refuse, rows, succeed, tree, venation

import venation as package
from venation.data.data_config import DataConfig
from venation.data.dataset import LeafDataset
from venation.data.manifest import Manifest, load_manifest
from venation.data.synthetic import write_leaves
from venation.models.build import build_network
from venation.trials.probe_config import probe_config
from venation.trials.probe_folds import stratified_folds

SIZE = 32


@dataclass(frozen=True)
class Tried:
    """A data set, the report of `venation try` on it, its lines on stderr, and its home folder."""

    data: Path
    report: dict[str, Any]
    said: str
    home: Path

    @property
    def bundle(self) -> Path:
        """The path of the bundle."""
        return Path(self.report["bundle"])

    @property
    def manifest(self) -> Manifest:
        """The images that are not in the test split."""
        whole = load_manifest(self.data)
        return Manifest(whole.root, tuple(s for s in whole.samples if s.split != "test"), whole.classes)


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tried]:
    """Run `venation try` without a database: an address that does not answer, and an empty home."""
    root = tmp_path_factory.mktemp("try")
    data = write_data(root / "leaves")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VENATION_STORAGE", "postgresql://nobody@127.0.0.1:1/none")
        patch.setenv("VENATION_HOME", str(root / "home"))
        patch.chdir(root)
        result = venation("try", data, "--size", SIZE, "--json", "--device", "cpu")
        assert result.exit_code == 0, result.output
        report = json.loads(result.stdout)
        report["bundle"] = root / report["bundle"]
        yield Tried(data, report, result.stderr, root / "home")


def write_data(folder: Path) -> Path:
    """Write three classes of eight leaves, two of them in a test split, and a class of one leaf."""
    write_leaves(folder, classes=3, images=8, size=40, seed=3)
    with (folder / "manifest.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "label", "mask", "split"])
        for image in sorted((folder / "images").rglob("*.png")):
            label, rank = image.parent.name, sorted(image.parent.iterdir()).index(image)
            mask = Path("masks", label, image.name)
            table.writerow([image.relative_to(folder), label, mask, "test" if rank < 2 else ""])
        for part in ("images", "masks"):
            shutil.copytree(folder / part / "cultivar_00", folder / part / "odd")
        table.writerow([f"images/odd/{image.name}", "odd", f"masks/odd/{image.name}", ""])
    return folder


def encode(manifest: Manifest, *, blank: bool = False) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the pooled last level of the pretrained encoder, and the labels."""
    config = probe_config("tf_efficientnet_lite0", DataConfig(size=SIZE))
    encoder = build_network(config.network(len(manifest.classes))).eval().encoder
    dataset = LeafDataset(manifest.samples, manifest.classes, config.data, train=False, blank=blank)
    with torch.inference_mode():
        levels = encoder(torch.stack([dataset[index].image_CHW for index in range(len(dataset))]))
    return levels[-1].mean(dim=(2, 3)).double().numpy(), np.array(dataset.labels)


def fit(x: NDArray[np.float64], y: NDArray[np.int64]) -> Any:
    """Fit scikit-learn's pipeline."""
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=1, max_iter=5000, tol=1e-9))
    return pipeline.fit(x, y)


def test_scores_are_those_of_scikit_learn_on_held_out_folds(tried: Tried) -> None:
    report, manifest = tried.report, tried.manifest
    x, y = encode(manifest)
    x_blanked, _ = encode(manifest, blank=True)
    fold = stratified_folds(y, [sample.group for sample in manifest.samples], folds=5, seed=0)
    plain, blanked = np.zeros((2, len(y), 4))
    for number in range(5):
        held = fold == number
        pipeline = fit(x[~held], y[~held])
        plain[held], blanked[held] = pipeline.predict_proba(x[held]), pipeline.predict_proba(x_blanked[held])
    kept = fold >= 0
    right = plain.argmax(axis=1) == y
    assert (report["images"], report["scored"], report["folds"]) == (19, 18, 5)
    assert report["scores"]["accuracy"]["value"] == pytest.approx(right[kept].mean())
    assert report["scores"]["accuracy"]["low"] <= right[kept].mean() <= report["scores"]["accuracy"]["high"]
    assert report["scores"]["logloss"]["value"] == pytest.approx(
        log_loss(y[kept], plain[kept], labels=range(4)), abs=1e-3
    )
    assert report["scores"]["accuracy_blanked"]["value"] == pytest.approx((blanked.argmax(axis=1) == y)[kept].mean())
    assert sum(row["count"] for row in report["confused"]) == (~right & kept).sum()


def test_bundle_answers_as_a_pipeline_fitted_on_all_images(tried: Tried) -> None:
    manifest = tried.manifest
    x, y = encode(manifest)
    expected = fit(x, y).predict_proba(x)
    bundle = package.load_bundle(tried.bundle, device="cpu")
    for row, prediction in zip(expected, bundle.predict([s.image for s in manifest.samples]), strict=True):
        assert prediction.label == manifest.classes[row.argmax()]
        assert prediction.probability == pytest.approx(row.max(), abs=1e-4)


def test_no_database_was_opened(tried: Tried) -> None:
    assert not tried.home.exists()


def test_notes_name_the_class_of_one_image_and_the_sealed_split(tried: Tried) -> None:
    single, sealed = tried.report["notes"]
    assert single.startswith("1 images always train") and single.endswith("odd")
    assert sealed.startswith("6 images of the data's own test split are left out")
    assert tried.said.splitlines()[0] == "reading images"


def test_bundle_is_complete(tried: Tried, tmp_path: Path) -> None:
    checked = rows("bundle", "check", tried.bundle)
    assert checked["onnx_difference"] < 1e-4
    record = rows("bundle", "show", tried.bundle)
    assert (record["sources"], record["images"]) == ([], {"train": 19, "val": 0, "test": 6})
    assert record["cross_validation"] == {"folds": 5, "seed": 0, "images": 18}
    card = (tried.bundle / "README.md").read_text()
    assert "Scores by 5-fold cross-validation (18 images)" in card and "accuracy, background blanked" in card
    scored = rows("evaluate", tried.bundle, tried.data, "--device", "cpu")
    assert {(row["part"], row["images"]) for row in scored} == {("test", 6)}
    succeed("predict", tried.bundle, tried.data / "images" / "odd", "-o", tmp_path / "out", "--heatmap")
    assert any(name.startswith("heatmaps/") for name in tree(tmp_path / "out"))


def test_existing_bundle_is_not_replaced(tried: Tried) -> None:
    before = tree(tried.bundle)
    refuse(EXPECTED_FAILURE, "try", tried.data, "-o", tried.bundle, says=("exists", "-o"))
    assert tree(tried.bundle) == before


def test_data_that_cannot_be_cross_validated_are_refused(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / "few" / "images" / label).mkdir(parents=True)
        Image.new("RGB", (40, 40), "red" if label == "a" else "blue").save(
            tmp_path / "few" / "images" / label / "0.png"
        )
    (tmp_path / "none").mkdir()
    out = tmp_path / "out.bundle"
    refuse(BAD_DATA, "try", tmp_path / "few", "-o", out, says=("every class has one image", "add images"))
    refuse(BAD_DATA, "try", tmp_path / "none", "-o", out, says=("none",))
    refuse(BAD_DATA, "try", tmp_path / "away", "-o", out, says=("away",))
    assert not out.exists()


def test_encoder_without_pretrained_weights_is_refused(tried: Tried, tmp_path: Path) -> None:
    out = tmp_path / "out.bundle"
    given = ("try", tried.data, "-o", out, "--size", SIZE, "--encoder")
    refuse(MISUSE, *given, "resnet0", says=("resnet0", "did you mean"))
    refuse(MISUSE, "try", tried.data, "-o", out, "--size", 8, says=("--size",))
    assert not out.exists()
