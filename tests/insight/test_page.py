"""The page under a path of a proxy: every address of the page and of its script has the path."""

import gzip
import re
from pathlib import Path

import optuna_dashboard
from dashboards import ask

from venation.insight.page import Pages, page, script

BUNDLE = (Path(optuna_dashboard.__file__).parent / "public" / "bundle.js").read_text(encoding="utf-8")


def test_every_address_of_the_script_has_the_path() -> None:
    moved = gzip.decompress(script("/lab")).decode()
    # The requests of the page; the library of maps also names a page of the web.
    for part in ("/api/", "/artifacts/", "/csv/"):
        before = len(re.findall(rf"[`(}}]{part}", BUNDLE))
        assert before > 0 and len(re.findall(rf"[`(}}]/lab{part}", moved)) == before
        assert not re.findall(rf"[`(}}]{part}", moved)
    assert 'url_prefix:"/lab/dashboard"' in moved and len(moved) > len(BUNDLE)


def test_the_page_loads_its_script_from_the_path() -> None:
    assert 'src="/lab/static/bundle.js"' in page("/lab", False)
    assert 'src="/static/bundle.js"' in page("", True)


def test_a_read_only_page_offers_no_changes() -> None:
    assert "AddBoxIcon" in page("", False) and "AddBoxIcon" not in page("", True)


def test_pages_of_the_browser_are_the_page_and_the_rest_is_left() -> None:
    pages = Pages(lambda _, start: start("404 Not Found", []) and [] or [b"rest"], "")  # type: ignore[func-returns-value]
    for path in ("/dashboard", "/dashboard/studies/3/trials"):
        answer = ask(pages, path)
        assert (
            b"bundle.js" in answer.body
            and "script-src 'self' 'unsafe-eval'" in answer.headers["content-security-policy"]
        )
    for path in ("/dashboards", "/api/studies", "/static/bundle.js"):
        assert ask(pages, path).body == b"rest"
