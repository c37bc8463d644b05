"""`venation bundle import`: from a checkpoint of the published code to a bundle that predicts."""

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from pictures import normalised, picture
from PIL import Image
from published_checkpoint import KEEP, SWIN, checkpoint
from small_bundle import EXPECTED_FAILURE, MISUSE, predicted, refuse, rows, succeed
from torchvision.transforms import functional as tvf

from venation.bundles.import_checkpoint import import_view
from venation.data.synthetic import write_leaves
from venation.data.transforms import eval_image

OPTIONS = ("--encoder", SWIN, "--size", 96, "--keep", ",".join(map(str, KEEP)))
NAMES = ("oak", "elm", "ash", "yew", "fir")


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Write a checkpoint of PIM and the names of its classes."""
    return _files(tmp_path, "pim")


def _files(folder: Path, system: str) -> tuple[Path, Path]:
    torch.manual_seed(0)
    tensors = checkpoint(system, timm.create_model(SWIN, num_classes=21))
    torch.save(
        {"model": tensors, "optimizer": {"state": {}, "param_groups": [{"lr": 5e-4}]}, "epoch": 49}, folder / "best.pt"
    )
    (folder / "names.txt").write_text("\n".join(NAMES) + "\n")
    return folder / "best.pt", folder / "names.txt"


def test_an_imported_bundle_checks_and_predicts(tmp_path: Path) -> None:
    # One system is enough: the ONNX export takes most of the time. Other tests check the meaning of
    # the weights.
    system = "herbs"
    best, names = _files(tmp_path, system)
    leaves, out = tmp_path / "leaves", tmp_path / "out.bundle"
    write_leaves(leaves, classes=2, images=1, size=64, seed=1)
    printed = succeed("bundle", "import", best, "--system", system, "--classes", names, "-o", out, *OPTIONS)
    assert printed == f"{out}\n"
    checked = rows("bundle", "check", out)
    assert checked["samples"] == 4 and checked["onnx_difference"] < 1e-4
    found = predicted(out, leaves / "images", "-o", tmp_path / "predicted")
    assert len(found) == 2 and {row["label"] for row in found} <= set(NAMES)
    shown = rows("bundle", "show", out)
    assert shown["classes"] == list(NAMES) and shown["metrics"] == {} and shown["sources"] == []
    assert shown["provenance"]["imported"]["system"] == system
    assert shown["config"]["encoder"]["taps"] == "merged" and shown["config"]["data"]["zoom"] == 510 / 96
    assert json.loads((out / "images.json").read_text()) == {"train": [], "val": [], "test": []}


@pytest.mark.parametrize(("size", "resize"), [(384, 510), (448, 510), (448, 600), (224, 256)])
def test_images_are_resized_as_given_whatever_the_size(size: int, resize: int) -> None:
    """The published code resizes to 510 pixels for every size that it crops."""
    view = import_view(size, resize)
    large = Image.fromarray(picture(700, 610)).resize((resize, resize), Image.Resampling.BILINEAR)
    expected = normalised(np.asarray(tvf.center_crop(large, [size, size])), view)
    np.testing.assert_allclose(eval_image(picture(700, 610), view), expected, atol=1e-5)


class Hostile:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return open, (str(self.marker), "w")


def test_a_hostile_checkpoint_is_refused_and_not_run(tmp_path: Path, files: tuple[Path, Path]) -> None:
    best, names = files
    marker = tmp_path / "was-here"
    torch.save({"model": {"a": torch.zeros(1)}, "epoch": Hostile(marker)}, best)
    arguments = ("bundle", "import", best, "--system", "pim", "--classes", names, "-o", tmp_path / "x", *OPTIONS)
    refuse(EXPECTED_FAILURE, *arguments, says=("best.pt", "contains more than tensors"))
    assert not marker.exists() and not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--system", "herbs"), EXPECTED_FAILURE, ("lacks `fpn_down.Proj_layer1.2.weight`", "--system")),
        (("--size", "64"), MISUSE, ("plugin.keep[0]=80", "8x8")),
        (("--size", "7"), MISUSE, ("--size 7", "16")),
        (("--size", "600"), MISUSE, ("--resize 510 is less than --size 600", "give --resize 600 or more")),
        (("--resize", "9999"), MISUSE, ("--resize 9999 for --size 96: ", "32")),
        (("--keep", "80,20,4"), MISUSE, ("keep sums up to 104", "selects 106")),
        (("--keep", "many"), MISUSE, ("--keep many is no list of numbers",)),
        (("--encoder", "test_vit"), MISUSE, ("test_vit", "give a Swin")),
        (
            ("--encoder", "swin_tiny_patch4_window7_224"),
            EXPECTED_FAILURE,
            ("does not fit", "(96, 3, 4, 4)", "(8, 3, 4, 4)"),
        ),
        (("--samples", "/nowhere"), 3, ("/nowhere does not exist",)),
    ],
)
def test_invalid_options_are_one_line(
    tmp_path: Path, files: tuple[Path, Path], options: tuple[str, ...], code: int, says: tuple[str, ...]
) -> None:
    best, names = files
    out = tmp_path / "x"
    refuse(
        code, "bundle", "import", best, "--system", "pim", "--classes", names, "-o", out, *OPTIONS, *options, says=says
    )
    assert not out.exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"oak\nelm\n", "has 5 classes, but"),
        (b"oak\nelm\nash\noak\nfir\n", "names `oak` twice"),
        (b"\xff\xfe", "it is not UTF-8 text"),
    ],
)
def test_an_invalid_list_of_names_is_refused(
    tmp_path: Path, files: tuple[Path, Path], content: bytes, says: str
) -> None:
    best, names = files
    names.write_bytes(content)
    arguments = ("bundle", "import", best, "--system", "pim", "--classes", names, "-o", tmp_path / "x", *OPTIONS)
    refuse(EXPECTED_FAILURE, *arguments, says=("names.txt", says))


def test_a_checkpoint_of_pim_is_none_of_the_leaf_systems(tmp_path: Path, files: tuple[Path, Path]) -> None:
    best, names = files
    arguments = ("bundle", "import", best, "--system", "mganet", "--classes", names, "-o", tmp_path / "x")
    refuse(EXPECTED_FAILURE, *arguments, says=("lacks `classifier.weight`", "not a checkpoint of MGANet, XMNet or"))


def test_an_existing_path_is_not_overwritten(tmp_path: Path, files: tuple[Path, Path]) -> None:
    best, names = files
    arguments = ("bundle", "import", best, "--system", "pim", "--classes", names, "-o", tmp_path, *OPTIONS)
    refuse(EXPECTED_FAILURE, *arguments, says=("exists",))
