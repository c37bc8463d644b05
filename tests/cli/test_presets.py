"""Every preset from creation to prediction, on minimal leaves and networks."""

from pathlib import Path

import pytest
from small_bundle import predicted, rows, succeed

from venation.data.synthetic import write_leaves
from venation.spaces.presets import PRESETS

SMALL = {
    "encoder.name": "test_resnet",
    "encoder.weights": "none",
    "encoder.frozen_children": 0,
    "data.size": 64,
    "train.epochs": 1,
    "train.batch_size": 4,
}
PLUGIN = {"plugin.width": 16, "plugin.joint": 8}
DECODER = {"train.epochs": 1, "train.batch_size": 4}
# The commands of `docs/how-to/papers.md`, which another test runs, do the same for the others.
HERE = [preset for preset in PRESETS if preset not in ("xmnet", "pim", "herbs")]


@pytest.fixture(scope="module")
def leaves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write three cultivars of six leaves with masks."""
    folder = tmp_path_factory.mktemp("presets") / "leaves"
    write_leaves(folder, classes=3, images=6, size=64, seed=1)
    return folder


def settings(fields: dict[str, object]) -> list[str]:
    return [word for name, value in fields.items() for word in ("--set", f"{name}={value}")]


@pytest.mark.parametrize("preset", HERE)
def test_the_bundle_of_a_preset_predicts(preset: str, leaves: Path, postgres_url: str, tmp_path: Path) -> None:
    stores = ("--storage", postgres_url, "--artifacts", tmp_path / "artifacts")
    create = ("study", "create", *stores, "--preset", preset, "--trials", 1)
    small = SMALL | (PLUGIN if preset == "frozen" else {})
    succeed(*create, "labels", "--kind", "classifier", "--data", leaves, *settings(small))
    studies = ["labels"]
    if "decoder" in PRESETS[preset]:
        # The exporter needs most of a minute for the default decoder, which other tests cover.
        fixed = DECODER | (
            {"decoder.kind": "unet", "decoder.channels": 8, "data.fit": "squash"} if preset == "default" else {}
        )
        succeed(*create, "veins", "--kind", "decoder", "--base", "labels", *settings(fixed))
        studies.append("veins")
    succeed("worker", *studies, "--until-idle", "--device", "cpu", *stores)
    bundle = tmp_path / "a.bundle"
    succeed("bundle", "export", *studies, "-o", bundle, "--device", "cpu", *stores)
    photographs = leaves / "images"
    found = predicted(bundle, photographs, "-o", tmp_path / "out")
    assert len(found) == 18 and all(0 < row["probability"] <= 1 for row in found)
    assert all((row["mask_share"] is not None) == (len(studies) == 2) for row in found)
    assert {row["metric"] for row in rows("evaluate", bundle, leaves)} >= {"accuracy", "macro_f1", "logloss"}
