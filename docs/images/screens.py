"""Photograph the dashboard, a report and the page for photos in Chromium."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

WIDTH, HEIGHT, PHONE = 1400, 900, 390
WAIT_MS = 60_000
STUDY, LEAF = "demo", "unseen/images/cultivar_00/leaf_000.png"
VENATION = (sys.executable, "-m", "venation.cli")
# Pages name the data by their whole path, which says nothing to a reader.
SHORTEN = """folder => {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) walker.currentNode.data = walker.currentNode.data.replaceAll(folder, "");
}"""
LOADED = "[...document.images].every(image => image.complete)"


def photograph(bundle: Path, out: Path, folder: Path) -> None:
    """Write a picture of each page into ``out``; ``folder`` holds the unseen leaves."""
    subprocess.run([*VENATION, "report", STUDY, "-o", str(folder / "report")], check=True)
    with sync_playwright() as playwright:
        path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        with server("dashboard") as place:
            dashboard(browser, place, out)
        for name, width in (("report", WIDTH), ("report-phone", PHONE)):
            with tab(browser, out / f"{name}.png", width) as page:
                page.goto((folder / "report" / "report.html").as_uri())
        with server("serve", str(bundle)) as place:
            for name, width in (("serve", WIDTH), ("serve-phone", PHONE)):
                with tab(browser, out / f"{name}.png", width) as page:
                    page.goto(place)
                    page.wait_for_selector("#hint:not(:empty)", timeout=WAIT_MS)
                    page.set_input_files("#file", folder / LEAF)
                    page.locator("#strip li").first.wait_for(state="attached", timeout=WAIT_MS)
                    page.locator("label", has_text="Mask").first.click()
        browser.close()


def dashboard(browser: Browser, place: str, out: Path) -> None:
    """Photograph the list of studies, the note of a study and its trials."""
    with urlopen(f"{place}/api/studies") as answer:
        number = next(row["study_id"] for row in json.load(answer)["study_summaries"] if row["study_name"] == STUDY)
    study = f"{place}/dashboard/studies/{number}"
    pages = {
        "dashboard-list": (f"{place}/dashboard", f"text={STUDY}-veins", 460),
        "dashboard-study": (study, ".plot-container .points path", HEIGHT),
        "dashboard-note": (f"{study}/note", "text=progress:", 400),
        "dashboard-trial": (f"{study}/trials", "img[alt='curve.svg']", HEIGHT),
    }
    for name, (address, selector, height) in pages.items():
        with tab(browser, out / f"{name}.png", WIDTH, height) as page:
            page.goto(address)
            page.locator(selector).first.wait_for(state="attached", timeout=WAIT_MS)


@contextmanager
def tab(browser: Browser, path: Path, width: int, height: int = HEIGHT) -> Iterator[Page]:
    """Yield a new tab; afterwards write what its window shows, and fail if the page is wider."""
    page = browser.new_page(viewport={"width": width, "height": height})
    yield page
    page.wait_for_function(LOADED, timeout=WAIT_MS)
    page.wait_for_timeout(2000)  # the dashboard moves its charts into place
    page.evaluate(SHORTEN, f"{Path.cwd()}/")
    found: Any = page.evaluate("document.documentElement.scrollWidth")
    if found > width:
        raise SystemExit(f"{path.stem}: the page is {found} pixels wide, and the window {width}")
    page.screenshot(path=path)
    page.close()
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(256, kmeans=1).save(path, optimize=True)


@contextmanager
def server(*arguments: str) -> Iterator[str]:
    """Run a command that serves pages on any free port; yield its address."""
    with subprocess.Popen([*VENATION, *arguments, "--port", "0"], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            found = (re.search(r"http://127\.0\.0\.1:\d+", line) for line in process.stderr)
            yield next(match.group() for match in found if match)
        finally:
            process.terminate()
