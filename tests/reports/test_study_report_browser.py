"""The page in Chromium, offline: no error, no serious fault, not too wide, pictures that load."""

from pathlib import Path
from typing import Any

import pytest
from browsers import serious_faults
from report_helpers import answered, finish, val_images
from study_helpers import StudyHarness

from venation.reports.study_report import report_study


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (390, "dark")])
def test_a_page_is_readable_offline(
    browser: Any, harness: StudyHarness, tmp_path: Path, width: int, scheme: str
) -> None:
    handle = harness.create(trials=6)
    images, label_I = val_images(handle)
    for shift in range(5):
        answers = answered(label_I, (label_I + (label_I + shift) % 2) % 3, classes=3)
        finish(harness, handle, answers, images, curve=[0.1 * shift, 0.2])
    page = report_study(handle, harness.artifacts, tmp_path / "report", device=None)
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
    tab = context.new_page()
    messages: list[str] = []
    tab.on("console", lambda message: messages.append(message.text))
    tab.on("pageerror", lambda error: messages.append(str(error)))
    tab.on("request", lambda request: messages.append(request.url) if request.url.startswith("http") else None)
    tab.goto(page.as_uri())
    assert messages == []
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    tab.wait_for_function("[...document.images].every(image => image.complete)")
    assert tab.evaluate("document.images.length") > 0
    assert tab.evaluate("[...document.images].filter(image => !image.naturalWidth).length") == 0
    for link in tab.query_selector_all("nav a"):
        assert tab.query_selector(link.get_attribute("href")) is not None
    # The text of figures has the colour of the page, on the dark one as on the light one.
    colours = "[getComputedStyle(document.querySelector('svg text')).fill, getComputedStyle(document.body).color]"
    of_figure, of_page = tab.evaluate(colours)
    assert of_figure == of_page
    assert serious_faults(tab) == []
