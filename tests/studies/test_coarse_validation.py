"""The warning about few validation images against McNemar's exact test by scipy."""

from pathlib import Path

import pytest
from scipy.stats import binomtest
from study_helpers import SETTINGS, StudyHarness
from typer.testing import CliRunner

from venation.cli import app
from venation.data.manifest import Manifest, Sample
from venation.studies.coarse_validation import LEAST_IMAGES, coarse_validation
from venation.studies.request import make_request
from venation.studies.resolve import build_spec


def manifest_of(images: int) -> Manifest:
    samples = tuple(Sample(Path(f"{n}.png"), "a", None, str(n), "val") for n in range(images))
    return Manifest(Path(), samples, ("a",))


def test_six_images_are_the_least_that_the_exact_test_can_tell() -> None:
    p_values = [binomtest(0, images).pvalue for images in range(1, 12)]
    assert LEAST_IMAGES == 1 + next(n for n, p_value in enumerate(p_values) if p_value < 0.05)


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (67, "67 validation images: one image is 1.5 points of accuracy, and differences under 9 points (6 images)"),
        (119, "one image is 0.8 points of accuracy, and differences under 5 points"),
        (5, "one image is 20.0 points of accuracy, and all differences between two trials may be chance"),
        (120, None),
    ],
)
def test_what_is_said(harness: StudyHarness, images: int, says: str | None) -> None:
    given = {"name": "soy", "kind": "classifier", "data": harness.data, "settings": SETTINGS}
    spec, _ = build_spec(harness.storage, make_request(given))
    found = coarse_validation(spec, manifest_of(images))
    assert (found is None) if says is None else (found is not None and says in found and "\n" not in found)
    logloss = spec.model_copy(update={"objectives": ("logloss",)})
    assert coarse_validation(logloss, manifest_of(images)) is None, "it counts no images"


def test_creation_and_plan_warn(harness: StudyHarness, postgres_url: str) -> None:
    places = ["--storage", postgres_url, "--artifacts", str(harness.artifacts.folder)]
    words = ["study", "create", "soy", "--kind", "classifier", "--data", str(harness.data)]
    for name, value in SETTINGS.items():
        words += ["--set", f"{name}={value}"]
    made = CliRunner().invoke(app, [*words, *places])
    assert made.exit_code == 0 and "8 validation images: one image is 12.5 points" in made.stderr, made.output
    plan = CliRunner().invoke(app, ["study", "plan", "soy", "--device", "cpu", "--json", *places])
    assert plan.exit_code == 0 and "differences under 75 points (6 images)" in plan.stderr, plan.output
