"""The page of a report: sections, tables, figures and pictures as one HTML file without scripts."""

import base64
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from PIL import Image, ImageOps

from .drawing import Drawing
from .style_sheet import STYLE

_QUALITY = 72


@dataclass
class Section:
    """A part of the page; its parts are elements of HTML, its drawings also become PNG files."""

    anchor: str
    title: str
    parts: list[str] = field(default_factory=list)
    drawings: list[Drawing] = field(default_factory=list)

    def text(self, *sentences: str) -> None:
        """Add a paragraph."""
        self.parts.append(f"<p>{_prose(' '.join(sentences))}</p>")

    def note(self, sentence: str) -> None:
        """Add a remark, for example what is missing and how to get it."""
        self.parts.append(f'<p class="note">{_prose(sentence)}</p>')

    def points(self, sentences: Iterable[str]) -> None:
        """Add a list of sentences."""
        self.parts.append("<ul>" + "".join(f"<li>{_prose(sentence)}</li>" for sentence in sentences) + "</ul>")

    def heading(self, title: str) -> None:
        """Add a heading inside the section."""
        self.parts.append(f"<h3>{escape(title)}</h3>")

    def figure(self, drawing: Drawing | None) -> None:
        """Add a figure with its title and what it shows in words, unless it is None."""
        if drawing is None:
            return
        self.drawings.append(drawing)
        title, alt = escape(drawing.title), escape(drawing.alt)
        self.parts.append(
            f'<figure><h3>{title}</h3><div class="scroll" tabindex="0" role="img" aria-label="{title}. {alt}">'
            f"{drawing.svg}</div><figcaption>{alt}</figcaption></figure>"
        )

    def table(self, rows: Sequence[dict[str, Any]], *, label: str, numbered: bool = False) -> None:
        """Add a table; the keys of the first row are its columns."""
        if not rows:
            return
        if numbered:
            rows = [{"#": at} | row for at, row in enumerate(rows, start=1)]
        head = "".join(f'<th scope="col">{escape(name)}</th>' for name in rows[0])
        body = "".join(f"<tr>{''.join(map(_cell, row.values()))}</tr>" for row in rows)
        self.parts.append(
            f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}"><table>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        )

    def pictures(self, tiles: Iterable[str], *, wide: bool = False) -> None:
        """Add tiles that ``tile`` made, as many in a row as fit."""
        kind = "tiles wide" if wide else "tiles"
        self.parts.append(f'<div class="{kind}">{"".join(tiles)}</div>')

    def folded_table(self, title: str, rows: Sequence[dict[str, Any]]) -> None:
        """Add a table that is shown on demand."""
        self.parts.append(f"<details><summary>{escape(title)}</summary>")
        self.table(rows, label=title)
        self.parts.append("</details>")

    def folded(self, title: str, text: str) -> None:
        """Add text that is shown on demand, with its line breaks."""
        self.parts.append(
            f"<details><summary>{escape(title)}</summary>"
            f'<pre tabindex="0" aria-label="{escape(title)}">{escape(text)}</pre></details>'
        )

    def html(self) -> str:
        """Return the section as HTML."""
        anchor = escape(self.anchor)
        return f'<section id="{anchor}"><h2>{escape(self.title)}</h2>{"".join(self.parts)}</section>'


def tile(picture: Image.Image | None, caption: str, *, mark: str = "") -> str:
    """Return a picture with its caption; ``mark`` is right or wrong, None an unreadable picture."""
    seen = '<div class="absent">no picture</div>'
    if picture is not None:
        size = f'width="{picture.width}" height="{picture.height}"'
        seen = f'<img src="{as_data(picture)}" {size} alt="{escape(caption)}">'
    return f'<figure class="tile {mark}">{seen}<figcaption>{escape(caption)}</figcaption></figure>'


def thumbnail(picture: Image.Image, side: int) -> Image.Image:
    """Return a picture whose longer side has at most ``side`` pixels."""
    return ImageOps.contain(picture, (side, side)) if max(picture.size) > side else picture


def as_data(picture: Image.Image) -> str:
    """Return a picture as a data URL."""
    file = io.BytesIO()
    picture.convert("RGB").save(file, "WEBP", quality=_QUALITY)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def render_page(title: str, sections: Sequence[Section], *, footer: str) -> bytes:
    """Return the page as UTF-8; text that is no valid Unicode is escaped."""
    links = "".join(f'<li><a href="#{escape(part.anchor)}">{escape(part.title)}</a></li>' for part in sections)
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme"'
        f' content="light dark"><link rel="icon" href="data:,"><title>{escape(title)}</title><style>{STYLE}</style>'
        f'</head><body><header><h1>{escape(title)}</h1><nav aria-label="Sections"><ul>{links}</ul></nav></header>'
        f"<main>{''.join(part.html() for part in sections)}</main><footer><p>{escape(footer)}</p></footer>"
        f"</body></html>\n"
    )
    return page.encode("utf-8", "xmlcharrefreplace")


def _prose(text: str) -> str:
    """Return text as HTML; what is between backticks becomes code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _cell(value: Any) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return f'<td class="number">{_text(value)}</td>' if number else f"<td>{escape(_text(value))}</td>"


def _text(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
