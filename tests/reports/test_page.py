from html.parser import HTMLParser

from PIL import Image

from venation.reports.page import Section, render_page, tile


class Parsed(HTMLParser):
    """The tags, attributes and texts of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


HOSTILE = "<script>alert('x')</script> & \"quoted\""


def test_names_stay_text() -> None:
    section = Section("one", HOSTILE)
    section.text(HOSTILE)
    section.points([HOSTILE])
    section.note(HOSTILE)
    section.table([{HOSTILE: HOSTILE, "number": 0.123456}], label=HOSTILE, numbered=True)
    section.folded(HOSTILE, HOSTILE)
    section.pictures([tile(Image.new("RGB", (4, 4)), HOSTILE), tile(None, HOSTILE)])
    parsed = Parsed(render_page(HOSTILE, [section], footer=HOSTILE).decode())
    assert "script" not in {tag for tag, _ in parsed.tags}
    assert parsed.texts.count(HOSTILE) == 14
    assert "0.1235" in parsed.texts


def test_pictures_are_inside_the_page_and_described() -> None:
    section = Section("one", "One")
    section.pictures([tile(Image.new("RGB", (8, 4)), "a leaf")])
    (picture,) = (attributes for tag, attributes in Parsed(section.html()).tags if tag == "img")
    assert "loading" not in picture, "a printed page has every picture"
    assert (picture["src"] or "").startswith("data:image/webp;base64,") and picture["alt"] == "a leaf"
    assert (picture["width"], picture["height"]) == ("8", "4")


def test_names_that_are_no_unicode_are_written_all_the_same() -> None:
    page = render_page("caf\udce9", [], footer="")
    assert b"caf" in page and page.decode("utf-8")


def test_an_empty_table_adds_nothing() -> None:
    section = Section("one", "One")
    section.table([], label="Empty")
    assert section.parts == []
