"""The page in Chromium at two widths: a photo is answered, refusals are said, the keyboard works.

The test writes screenshots beside its temporary files.
"""

from pathlib import Path
from typing import Any

import pytest
from browsers import serious_faults
from served import photo, served, small_model

from venation.serving.app import Limits
from venation.serving.server import ServeOptions
from venation.web.login import Login

TOKEN = "0123456789abcdef0123"
WAIT_MS = 60_000
DROP = """async ([url, name]) => {
    const file = new File([await (await fetch(url)).blob()], name);
    const data = new DataTransfer();
    data.items.add(file);
    document.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
}"""


def settled(page: Any, answers: int) -> None:
    """Wait until the page shows the newest of its answers."""
    page.locator("#strip li").nth(answers - 1).wait_for(state="attached", timeout=WAIT_MS)


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (390, "dark")])
def test_a_photo_is_answered(browser: Any, tmp_path: Path, width: int, scheme: str) -> None:
    (tmp_path / "größer als.png").write_bytes(photo(64, 48))
    (tmp_path / "note.jpg").write_bytes(b"no image")
    (tmp_path / "large.png").write_bytes(b"0" * 200_000)
    options = ServeOptions(root="/lab", login=Login({}, (TOKEN,)), limits=Limits(max_bytes=100_000))
    with served([small_model(threshold=0.999)], options) as place:
        phone = width < 500
        view = {"width": width, "height": 844}
        context = browser.new_context(viewport=view, color_scheme=scheme, has_touch=phone, is_mobile=phone)
        page = context.new_page()
        errors: list[str] = []
        requests: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda sent: requests.append(sent.url))

        def check(name: str) -> None:
            page.screenshot(path=tmp_path / f"{name}-{width}.png", full_page=True)
            assert serious_faults(page) == [], name
            assert page.evaluate("document.documentElement.scrollWidth") == width, name

        page.goto(f"{place}/lab/")
        check("login")
        page.fill("#secret", TOKEN)
        page.keyboard.press("Enter")
        page.wait_for_selector("#hint:not(:empty)", timeout=WAIT_MS)
        assert page.url == f"{place}/lab/" and (not phone or page.locator(".camera").is_visible())
        check("empty")
        page.set_input_files("#file", tmp_path / "größer als.png")
        settled(page, 1)
        assert page.text_content("#kicker") == "größer als.png" and page.text_content("#verdict") == "Unknown"
        assert "Closest is" in page.text_content("#remark") and page.locator("#classes li").count() == 3
        check("photo")
        # The arrow keys of the keyboard choose between photo, mask and heat map.
        page.focus("input[name=layer][value=photo]")
        for layer, legend in (("overlay", "structure"), ("heatmap", "Evidence for")):
            page.keyboard.press("ArrowRight")
            assert page.locator(f"input[value={layer}]").is_checked() and legend in page.text_content("#legend")
            assert page.evaluate("document.querySelector('#picture').decode().then(() => true)")
            check(layer)
        page.evaluate(DROP, ["page/icon.svg", "icon.svg"])
        page.wait_for_selector("#problem:not([hidden])", timeout=WAIT_MS)
        assert "icon.svg cannot be decoded" in page.text_content("#problem")
        for name, says in (("note.jpg", "note.jpg cannot be decoded"), ("large.png", "larger than 0.0954 MB")):
            page.set_input_files("#file", tmp_path / name)
            page.locator("#problem", has_text=says).wait_for(timeout=WAIT_MS)
        # The last answer is shown again after a refusal.
        assert page.text_content("#verdict") == "Unknown"
        check("refused")
        page.set_input_files("#file", [tmp_path / "größer als.png"] * 2)
        settled(page, 3)
        page.locator("#strip button").nth(2).press("Enter")
        assert page.locator("#strip button").nth(2).get_attribute("aria-current") == "true"
        page.locator("summary").press("Enter")
        assert "0.500 to 1.000" in page.text_content("#about")
        check("model")
        page.goto(f"{place}/lab/docs")
        check("docs")
        assert errors == [] and [url for url in requests if not url.startswith((place, "data:", "blob:"))] == []
        context.close()


def test_a_page_without_heat_maps_says_so(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "leaf.png").write_bytes(photo(64, 48))
    model = small_model()
    model.predictor.runner.draws_heat = False  # type: ignore[misc]  # as the runner of the ONNX graphs
    with served([model]) as place:
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.goto(place)
        page.set_input_files("#file", tmp_path / "leaf.png")
        settled(page, 1)
        assert page.text_content("#missing").startswith("No heat map: heat maps need torch")
        assert page.locator("label[data-layer=heatmap]").is_hidden()
        assert page.locator("label[data-layer=overlay]").is_visible()
        page.screenshot(path=tmp_path / "without-heat.png", full_page=True)
        assert serious_faults(page) == []
        page.close()
