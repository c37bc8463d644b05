"""Thin structures are learned at native scale: masks of lines of known width."""

from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from study_helpers import SETTINGS, StudyHarness
from typer.testing import CliRunner

from venation.cli import app
from venation.data.data_config import DataConfig
from venation.data.manifest import Manifest, load_manifest
from venation.data.splits import assign_splits
from venation.studies.create import create_requested
from venation.studies.request import make_request
from venation.studies.thin_structure import describe_view, thin_structure


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


def _base_view(harness: StudyHarness, data: Path) -> tuple[DataConfig, Manifest]:
    spec = harness.create(data=data).spec
    split = spec.split
    return spec.config.data, assign_splits(load_manifest(data), seed=split.seed, val=split.val, test=split.test)


@pytest.mark.parametrize(
    ("width", "changes", "seen"),
    [
        (4, {}, "4.9 pixels wide in the images, and 1.2 at"),
        (4, {"fit": "pad"}, "and 1.2 at"),
        (4, {"fit": "patch"}, None),
        (4, {"size": 96}, None),
        (12, {}, None),
        (1, {"size": 128}, None),
    ],
)
def test_structures_below_three_pixels_are_thin(
    harness: StudyHarness, tmp_path: Path, width: int, changes: dict[str, object], seen: str | None
) -> None:
    """The lines are upright, where the estimate is about 4 / pi times the width."""
    view, manifest = _base_view(harness, write_lines(tmp_path / "lines", width))
    found = thin_structure(view.model_copy(update=changes), manifest)
    assert (found is None) if seen is None else (found is not None and seen in str(found))


@pytest.mark.parametrize(
    ("width", "settings", "fit", "size"),
    [
        (4, {}, "patch", 256),
        (4, {"data.size": 40}, "patch", 40),
        (4, {"data.size": 96}, "squash", 96),
        (4, {"data.fit": "squash"}, "squash", 32),
        (4, {"data.size": "40x48"}, "patch", "40x48"),
        (4, {"data.zoom": 1.0}, "squash", 32),
        (12, {}, "squash", 32),
    ],
)
def test_a_decoder_study_learns_thin_structures_at_native_scale(
    harness: StudyHarness, tmp_path: Path, width: int, settings: dict[str, object], fit: str, size: int
) -> None:
    """Settings of the view in the request hold."""
    data = write_lines(tmp_path / "lines", width)
    base = harness.create(data=data)
    request = make_request({"name": "veins", "kind": "decoder", "base": "soy", "settings": settings})
    spec = create_requested(harness.storage, harness.artifacts, request)[0].spec
    view = spec.on_base(base.spec.config).data
    assert (view.fit, view.size) == (fit, size)
    assert view.turn == (0.75 if fit == "patch" and isinstance(size, int) else 0)


@pytest.mark.parametrize(
    ("width", "settings", "kind", "tuned", "batch"),
    [
        (4, {}, "smp_unet", True, 8),
        (4, {"train.epochs": 3}, "smp_unet", True, 8),
        (4, {"decoder.kind": "unet"}, "unet", False, 4),
        (4, {"train.batch_size": 2}, "mnsa", False, 2),
        (4, {"data.fit": "squash"}, "mnsa", False, 4),
        (12, {}, "mnsa", False, 4),
    ],
)
def test_thin_structures_have_a_config_of_their_own(
    harness: StudyHarness,
    tmp_path: Path,
    width: int,
    settings: dict[str, object],
    kind: str,
    tuned: bool,
    batch: int,
) -> None:
    """Its fields belong together: a request that sets one of them gets none."""
    data = write_lines(tmp_path / "lines", width)
    harness.create(data=data)
    request = make_request({"name": "veins", "kind": "decoder", "base": "soy", "settings": settings})
    spec = create_requested(harness.storage, harness.artifacts, request)[0].spec
    found = spec.config
    assert (found.decoder.kind, found.decoder.tune_encoder, found.train.batch_size) == (kind, tuned, batch)


def test_patches_suit_a_base_with_a_zoom_and_one_of_its_own_size(harness: StudyHarness, tmp_path: Path) -> None:
    """A plug-in module of ranks takes the number of positions that it was built for."""
    data = write_lines(tmp_path / "lines", 4)
    plugin = {"plugin.width": 8, "plugin.joint": 4, "data.zoom": 1.5}
    for name, own, size in (("zoomed", {"data.zoom": 1.5}, 256), ("fixed", plugin, 32)):
        base = harness.create(name, data=data, settings=own).spec.config
        request = make_request({"name": f"{name}-veins", "kind": "decoder", "base": name})
        view = create_requested(harness.storage, harness.artifacts, request)[0].spec.on_base(base).data
        assert (view.fit, view.size, view.zoom, view.patches) == ("patch", size, 1, 4)


def test_a_decoder_study_has_its_own_augmentation(harness: StudyHarness, tmp_path: Path) -> None:
    """A base that was drawn with strong changes hands on its view alone."""
    data = write_lines(tmp_path / "lines", 12)
    changes = {"data.augment": "trivial", "data.min_area": 0.6, "data.colour": 0.3, "data.zoom": 1.5}
    base = harness.create(data=data, settings=changes).spec.config
    view = harness.create("veins", "decoder", base="soy", data=data).spec.on_base(base).data
    assert (view.augment, view.min_area, view.colour, view.blank) == ("none", 1.0, 0.0, 0.0)
    assert (view.zoom, view.size, view.mean) == (1.5, base.data.size, base.data.mean)


def test_study_create_says_what_it_chose(
    harness: StudyHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_lines(tmp_path / "lines", 4)
    harness.create(data=data)
    monkeypatch.setenv("VENATION_STORAGE", harness.storage.engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("VENATION_ARTIFACTS", str(tmp_path / "artifacts"))
    command = ["study", "create", "--kind", "decoder", "--base", "soy"]
    chosen = CliRunner().invoke(app, [*command, "veins"])
    assert chosen.exit_code == 0, chosen.output
    assert "1.2 at the size of the base: the decoder learns patches of 256 pixels" in chosen.stderr
    squashed = CliRunner().invoke(app, [*command, "whole", "--set", "data.fit=squash"])
    assert squashed.exit_code == 0, squashed.output
    assert "1.2 at the size of the base: `--set data.fit=patch`" in squashed.stderr
    blades = CliRunner().invoke(app, [*command, "blades", "--set", "data.size=128"])
    assert blades.exit_code == 0 and "pixels wide" not in blades.stderr
    both = harness.create("both", "multitask", data=data, settings=dict(SETTINGS))
    said = describe_view(both.spec, None, harness.context(both).manifest)
    assert said is not None and "1.2 at the size of the labels: raise data.size" in said
