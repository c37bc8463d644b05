import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.metrics import confusion_matrix
from small_bundle import EXPECTED_FAILURE, SmallBundle, refuse, rows, succeed, tree

from venation.bundles.bundle import read_record
from venation.bundles.evaluate import open_unseen
from venation.bundles.record import WEIGHTS, Interval
from venation.errors import UserError
from venation.reports.bundle_sections import leak_sentence, num_parameters, scores_section
from venation.trials.device import choose_device


def words(page: str) -> str:
    return unescape(re.sub(r"<[^>]+>", " ", page))


def test_a_bundle_alone_has_its_scores_and_says_what_is_missing(small_bundle: SmallBundle, tmp_path: Path) -> None:
    succeed("report", small_bundle.path, "-o", tmp_path / "report")
    page = (tmp_path / "report" / "report.html").read_text()
    text, record = words(page), read_record(small_bundle.path)
    accuracy = record.metrics["test"]["accuracy"]
    assert f"Accuracy {accuracy.value:.3f} ({accuracy.low:.3f} to {accuracy.high:.3f})" in text
    assert "A bundle stores no answers for single images. With --data" in text
    assert f"{sum(each.size for each in load_file(small_bundle.path / WEIGHTS).values()):,} parameters" in text
    assert page.count("<img ") == len(list((small_bundle.path / "samples").glob("*.png")))
    assert tree(tmp_path / "report") == {"report.html", "figures", "figures/scores.png"}


def test_with_data_the_page_has_the_answers_on_new_images(small_bundle: SmallBundle, tmp_path: Path) -> None:
    out = tmp_path / "report"
    succeed("report", small_bundle.path, "-o", out, "--data", small_bundle.leaves, "--device", "cpu")
    text = words((out / "report.html").read_text())
    scores = {row["metric"]: row for row in rows("evaluate", small_bundle.path, small_bundle.leaves)}
    images = scores["accuracy"]["images"]
    right = round(scores["accuracy"]["value"] * images)
    assert f"The bundle answers {right} of {images} test images correctly" in text
    unseen = open_unseen(small_bundle.path, small_bundle.leaves)
    labels = unseen.score(unseen.samples["test"], device=choose_device("cpu")).labels
    counts = confusion_matrix(labels.label_I, labels.predicted_I, labels=range(3))
    wrong = int(counts.sum() - np.trace(counts))
    assert f"{wrong} answer{'s' * (wrong != 1)} off the diagonal" in text
    assert f"expected calibration error is {scores['ece']['value']:.3f}" in text
    assert {"figures/confusion.png", "figures/calibration.png"} <= tree(out)
    assert "Left the true mask, right the predicted one" in text and "background blanked" in text


def test_a_path_without_a_bundle_is_said_in_one_line(tmp_path: Path) -> None:
    out = tmp_path / "report"
    for missing in ("soy.bundle", "soy.zip", "some/where"):
        refuse(EXPECTED_FAILURE, "report", missing, "-o", out, says=("there is no bundle", missing))
    (tmp_path / "text.zip").write_text("no archive")
    refuse(EXPECTED_FAILURE, "report", tmp_path / "text.zip", "-o", out, says=("is not a bundle",))
    assert not out.exists()


@pytest.mark.parametrize(
    ("blanked", "says"),
    [((0.3, 0.2, 0.5), "falls without"), ((0.7, 0.5, 0.9), "No clear sign"), ((1.0, 0.95, 1.0), "rises without")],
)
def test_a_leak_is_claimed_only_where_the_intervals_are_apart(
    small_bundle: SmallBundle, blanked: tuple[float, float, float], says: str
) -> None:
    scores = {"accuracy": (0.8, 0.6, 0.9), "accuracy_blanked": blanked}
    metrics = {"test": {name: Interval(value=v, low=low, high=high) for name, (v, low, high) in scores.items()}}
    record = read_record(small_bundle.path)
    assert says in leak_sentence(record.model_copy(update={"metrics": metrics}))
    assert leak_sentence(record.model_copy(update={"metrics": {}})) == ""


def test_a_bundle_without_scores_says_so(small_bundle: SmallBundle) -> None:
    record = read_record(small_bundle.path).model_copy(update={"metrics": {}})
    assert "stores no scores" in scores_section(record).html()


def test_parameters_are_counted_from_the_header(small_bundle: SmallBundle) -> None:
    arrays = load_file(small_bundle.path / WEIGHTS)
    assert num_parameters(small_bundle.path / WEIGHTS) == sum(array.size for array in arrays.values())


@pytest.mark.parametrize("content", [b"", b"\xff" * 20, b"\x02" + bytes(7) + b"[]", b"\x0a" + bytes(7) + b'{"w": {}} '])
def test_a_forged_header_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / WEIGHTS).write_bytes(content)
    with pytest.raises(UserError, match="cannot be read") as caught:
        num_parameters(tmp_path / WEIGHTS)
    assert "\n" not in str(caught.value)
