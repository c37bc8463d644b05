"""A decoder study with a view of its own, from its creation to masks at native scale."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_bundle import DECODER, EXPECTED_FAILURE, MISUSE, SmallBundle, refuse, rows, succeed

from venation.bundles.bundle import read_record
from venation.bundles.load_network import load_parts
from venation.data.data_config import VIEW_FIELDS
from venation.data.synthetic import write_leaves
from venation.data.windows import WindowGrid
from venation.spaces.presets import recipe
from venation.trials.kinds import Kind

VIEW = ("--set", "data.fit=patch", "--set", "data.size=32", "--set", "data.patches=1", "--set", "data.hflip=0.25")


@pytest.fixture(scope="module")
def native(small_bundle: SmallBundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bundle of the session's classifier and of a decoder on patches."""
    out = tmp_path_factory.mktemp("native") / "native.bundle"
    succeed("study", "create", "native", "--kind", "decoder", "--base", "tiny", "--trials", 1, *DECODER, *VIEW)
    succeed("worker", "native", "--until-idle", "--device", "cpu")
    succeed("bundle", "export", "native", "-o", out, "--device", "cpu")
    return out


def test_the_record_has_two_views(native: Path, small_bundle: SmallBundle) -> None:
    record, base = read_record(native), read_record(small_bundle.path)
    assert record.config.data == base.config.data and base.second_view is None
    own = {"fit": "patch", "size": 32, "patches": 1, "hflip": 0.25}
    # The random changes in training are the preset's, not the base's.
    view = {name: getattr(base.config.data, name) for name in VIEW_FIELDS}
    expected = recipe("default", Kind.DECODER).config.data.model_dump() | view | own
    assert record.mask_data is not None and record.mask_data.model_dump() == expected
    assert record.second_view == record.mask_data
    turned = record.config.data.model_copy(update={"turn": 1.0, "colour": 0.5})
    assert record.model_copy(update={"mask_data": turned}).second_view is None
    scores = record.metrics["test"]
    assert scores["iou_image"] == scores["iou"] and 0 <= scores["boundary_f"].value <= 1 and "accuracy" in scores
    card = (native / "README.md").read_text()
    assert "windows of 32 x 32 pixels" in card and "`mask.onnx` gives mask probabilities" in card


def test_torch_onnx_and_the_samples_agree_for_windows(native: Path) -> None:
    assert {"model.onnx", "mask.onnx"} <= set(read_record(native).files)
    assert rows("bundle", "check", native)["onnx_mask_difference"] < 1e-3


def test_predict_writes_masks_of_the_images_own_size(native: Path, tmp_path: Path) -> None:
    large = tmp_path / "large" / "photo.png"
    large.parent.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (90, 150, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(large)
    out = tmp_path / "out"
    succeed("predict", native, large, "-o", out, "--overlay", "--heatmap", "--device", "cpu")
    with Image.open(out / "masks" / "photo.png") as picture:
        assert picture.size == (150, 90)
    for kind in ("overlays", "heatmaps"):
        with Image.open(out / kind / "photo.jpg") as picture:
            assert picture.width == 5 * 150 and picture.height > 5 * 90
    record = read_record(native)
    network, view = load_parts(native, record).network, record.mask_view
    with Image.open(out / "masks" / "photo.png") as picture:
        mask = np.asarray(picture) > 0
    # Where a single window decides, its logits are the mask.
    grid = WindowGrid((90, 150), (32, 32))
    corner_CHW = grid.crop(torch.from_numpy(pixels).permute(2, 0, 1).float() / 255, 0)
    mean, std = (torch.tensor(values)[:, None, None] for values in view.normalisation)
    with torch.no_grad():
        logits = network(((corner_CHW - mean) / std)[None]).mask_logits_B1HW
    logits = torch.nn.functional.interpolate(logits, (32, 32), mode="bilinear")[0, 0]
    assert np.array_equal(mask[:16, :16], (logits > 0).numpy()[:16, :16])


def test_evaluate_scores_whole_images(native: Path, tmp_path: Path) -> None:
    write_leaves(tmp_path / "new", classes=3, images=2, size=56, seed=9)
    found = {row["metric"]: row["value"] for row in rows("evaluate", native, tmp_path / "new", "--device", "cpu")}
    assert found["iou"] == found["iou_image"] and {"accuracy", "dice", "boundary_f"} <= found.keys()


def test_data_masks_are_written_at_native_scale(native: Path, tmp_path: Path) -> None:
    data = tmp_path / "new"
    write_leaves(data, classes=3, images=2, size=56, seed=9)
    for mask in sorted((data / "masks").rglob("*.png"))[::2]:
        mask.unlink()
    written = rows("data", "masks", native, data, "--device", "cpu")
    assert len(written) == 3
    with Image.open(written[0]["mask"]) as picture:
        assert picture.size == (56, 56)


def test_a_second_creation_changes_nothing_and_another_view_is_named(native: Path) -> None:
    create = ("study", "create", "native", "--kind", "decoder", "--base", "tiny", "--trials", 1, *DECODER)
    succeed(*create, *VIEW)
    refuse(EXPECTED_FAILURE, *create, *VIEW, "--set", "data.scale=0.5", says=("view.data.scale", "0.5"))


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("data.mean=0.1,0.2,0.3", ("`data.mean` cannot be set in a decoder study", "base's encoder")),
        ("data.blank=0.5", ("`data.blank` cannot be set in a decoder study",)),
        ("data.zoom=1.5", ("zoom=1.5 crops out of a squashed picture", "data.fit=squash")),
        ("data.scale=9", ("`data.scale` = '9'", "less than or equal to 4")),
        ("data.wrong=1", ("`data.wrong` is not a config field",)),
        ("encoder.name=resnet18", ("`encoder.name` cannot be set in a decoder study", "data.*")),
    ],
)
def test_a_view_that_does_not_fit_is_refused(small_bundle: SmallBundle, setting: str, says: tuple[str, ...]) -> None:
    given = ("--set", "data.fit=patch", "--set", setting)
    refuse(MISUSE, "study", "create", "odd", "--kind", "decoder", "--base", "tiny", *DECODER, *given, says=says)


def test_a_plan_prices_the_own_view(native: Path) -> None:
    own, base = (
        rows("study", "plan", name, "--device", "cpu")["points"][0]["macs"] for name in ("native", "tiny-veins")
    )
    assert own == pytest.approx(base / 4, rel=0.2)


def test_trials_record_the_view_and_the_study_shows_it(native: Path) -> None:
    config = rows("trial", "show", "native", 0)["config"]
    assert config["data"]["fit"] == "patch" and config["data"]["size"] == 32
    assert json.loads((native / "bundle.json").read_text())["config"]["data"]["size"] == 64
