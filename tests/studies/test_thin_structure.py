"""The advice to look at thin structures at native scale, on masks of lines of known width."""

from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from study_helpers import StudyHarness
from typer.testing import CliRunner

from venation.cli import app
from venation.data.manifest import load_manifest
from venation.data.splits import assign_splits
from venation.studies.base import base_study
from venation.studies.thin_structure import thin_structure


def write_lines(root: Path, width: int) -> Path:
    """Write two classes of five images of 128 pixels with masks of four upright lines."""
    for label in ("a", "b"):
        for kind in ("images", "masks"):
            (root / kind / label).mkdir(parents=True)
        for number in range(5):
            mask = Image.new("L", (128, 128))
            for left in range(10, 120, 30):
                ImageDraw.Draw(mask).rectangle((left + number, 0, left + number + width - 1, 127), fill=255)
            mask.save(root / "masks" / label / f"{number}.png")
            mask.convert("RGB").save(root / "images" / label / f"{number}.png")
    return root


@pytest.mark.parametrize(
    ("width", "view", "says"),
    [
        (4, {}, "4.9 pixels wide in the images, and 1.2 in the view"),
        (4, {"data.fit": "pad"}, "and 1.2 in the view"),
        (4, {"data.fit": "patch"}, None),
        (4, {"data.size": 64}, None),
        (12, {}, None),
        (1, {"data.size": 128}, None),
    ],
)
def test_structures_below_two_pixels_get_advice(
    harness: StudyHarness, tmp_path: Path, width: int, view: dict[str, object], says: str | None
) -> None:
    """The lines are upright, where the estimate is about 4 / pi times the width."""
    data = write_lines(tmp_path / "lines", width)
    harness.create(data=data)
    handle = harness.create("veins", "decoder", base="soy", data=data, settings=view)
    split = handle.spec.split
    manifest = assign_splits(load_manifest(data), seed=split.seed, val=split.val, test=split.test)
    found = thin_structure(handle.spec, base_study(handle).spec, manifest)
    assert (found is None) if says is None else (found is not None and says in found and "data.fit=patch" in found)


def test_a_classifier_study_gets_none(harness: StudyHarness, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "lines", 4)
    assert thin_structure(harness.create(data=data).spec, None, load_manifest(data)) is None


def test_study_create_gives_it(harness: StudyHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_lines(tmp_path / "lines", 4)
    harness.create(data=data)
    monkeypatch.setenv("VENATION_STORAGE", harness.storage.engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("VENATION_ARTIFACTS", str(tmp_path / "artifacts"))
    result = CliRunner().invoke(app, ["study", "create", "veins", "--kind", "decoder", "--base", "soy"])
    assert result.exit_code == 0, result.output
    assert "1.2 in the view of the decoder: `--set data.fit=patch`" in result.stderr
