"""The dashboard in Chromium: width, note, pictures, controls that read-only hides, the login."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from browsers import serious_faults
from dashboards import address
from study_helpers import StudyHarness

from venation.insight.dashboard import ServerOptions
from venation.leases.claim import claim
from venation.search.handle import StudyHandle
from venation.storage.artifacts import put_file
from venation.storage.attributes import CONFIG
from venation.web.login import Login

LONG = "/a/very/long/path/without/a/blank" * 40
WAIT_MS = 60_000


@pytest.fixture
def handle(harness: StudyHarness, tmp_path: Path) -> StudyHandle:
    """A study whose trial has a long config, a long attribute and a picture."""
    lease = claim(harness.create(), max_losses=3)
    assert lease is not None
    CONFIG.set(lease.trial, {"path": LONG})
    lease.trial.set_user_attr("cause", LONG)
    for step in range(3):
        lease.trial.report(step / 4, step)
    shutil.copy(next(harness.data.rglob("images/*/*.png")), tmp_path / "samples.png")
    put_file(harness.artifacts, lease.trial, tmp_path / "samples.png")
    return lease.handle


@pytest.mark.parametrize("write", [False, True])
def test_pages_fit_the_window_and_show_notes_and_pictures(
    harness: StudyHarness, handle: StudyHandle, browser: Any, write: bool
) -> None:
    with address(harness, ServerOptions(port=0, root="/lab", write=write)) as place:
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("response", lambda got: problems.append(got.url) if got.status >= 400 else None)
        study = f"/lab/dashboard/studies/{handle.id}"
        seen = (
            ("/lab/dashboard", "text=soy"),
            (study, "text=Study User Attributes"),
            (f"{study}/note", "text=progress:"),
            (f"{study}/trials", "img[alt='curve.svg']"),
        )
        for path, selector in seen:
            page.goto(place + path)
            page.wait_for_selector(selector, timeout=WAIT_MS)
            assert page.evaluate("document.documentElement.scrollWidth") <= 1400, path
            if path == "/lab/dashboard":
                create = page.locator("button:has([data-testid=AddBoxIcon])")
                delete, rename = (page.locator(f"[aria-label='{what} study']") for what in ("delete", "rename"))
                assert [each.first.is_visible() for each in (create, delete, rename)] == [write, write, False]
        page.wait_for_function("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        assert page.locator("img[alt='samples.png']").count() >= 1 and problems == []
        page.close()


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (390, "dark")])
def test_the_login_is_readable_and_usable_by_keyboard(
    harness: StudyHarness, browser: Any, width: int, scheme: str
) -> None:
    token = "0123456789abcdef0123"
    with address(harness, ServerOptions(port=0, login=Login({}, (token,)))) as place:
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        page.goto(place)
        for secret, wrong in (("a wrong token", True), (token, False)):
            assert serious_faults(page) == [] and page.evaluate("document.documentElement.scrollWidth") == width
            page.focus("#user")
            page.keyboard.press("Tab")
            page.keyboard.type(secret)
            page.keyboard.press("Enter")
            page.wait_for_selector("[role=alert]" if wrong else "#root, #dashboard, script", state="attached")
        assert page.url.startswith(f"{place}/dashboard")
        page.close()
