"""The description of the API as a page that opens without a network."""

import json
from collections.abc import Sequence
from html import escape
from typing import Any

_EXAMPLES = {
    "/api/predict": "curl -F file=@leaf.jpg '{place}/api/predict?picture=mask&picture=heatmap'",
    "/api/model": "curl {place}/api/model",
    "/healthz": "curl {place}/healthz",
    "/metrics": "curl {place}/metrics",
}


def api_page(schema: dict[str, Any], root: str, place: str) -> str:
    """Return an HTML page of an OpenAPI schema: every request with its parameters and answers.

    ``root`` is the path and ``place`` the URL under which the server was asked.
    """
    parts = [
        _operation(path, method, operation, schema, place)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    ]
    title = escape(schema["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><base href="{root}/">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme"'
        f' content="light dark"><title>API of {title}</title><link rel="icon" href="page/icon.svg">'
        '<link rel="stylesheet" href="page/page.css"></head><body class="api"><header class="bar">'
        '<a class="brand" href="./">Venation</a><span class="bundle">API</span><nav aria-label="Pages">'
        '<a href="./">Page</a><a href="api/openapi.json">OpenAPI</a></nav></header><main>'
        "<h1>API</h1><p>Where the server has a token, send it as"
        " <code>Authorization: Bearer TOKEN</code>. A refusal is JSON with one sentence,"
        f" <code>reason</code>.</p>{''.join(parts)}</main></body></html>"
    )


def _operation(path: str, method: str, operation: dict[str, Any], schema: dict[str, Any], place: str) -> str:
    rows = [
        (each["name"], each.get("description", ""), _type(each["schema"])) for each in operation.get("parameters", [])
    ]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        rows += [(name, each.get("description", ""), "file") for name, each in content["schema"]["properties"].items()]
    answers = [(status, each["description"]) for status, each in operation["responses"].items()]
    parts = [f'<section><h2><span class="method">{method.upper()}</span> {escape(path)}</h2>']
    parts.append(f"<p>{escape(operation.get('description', ''))}</p>")
    if example := _EXAMPLES.get(path):
        parts.append(f'<pre tabindex="0" aria-label="Example">{escape(example.format(place=place))}</pre>')
    if rows:
        parts.append(_table("Parameters", path, ("name", "meaning", "type"), rows))
    parts.append(_table("Answers", path, ("status", "meaning"), answers))
    fields = _fields(operation["responses"].get("200", {}), schema)
    if fields:
        parts.append(_table("Fields of the answer", path, ("name", "meaning", "type"), fields))
    return "".join(parts) + "</section>"


def _fields(response: dict[str, Any], schema: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return name, meaning and type of each field of a JSON answer."""
    reference = response.get("content", {}).get("application/json", {}).get("schema", {}).get("$ref", "")
    model = schema.get("components", {}).get("schemas", {}).get(reference.rpartition("/")[2], {})
    return [(name, each.get("description", ""), _type(each)) for name, each in model.get("properties", {}).items()]


def _type(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_type(each) for each in field["anyOf"])
    if "enum" in field:
        return " or ".join(json.dumps(value) for value in field["enum"])
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}))}"
    return field.get("type") or field.get("$ref", "").rpartition("/")[2] or "any"


def _table(title: str, path: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    names = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in rows)
    return (
        f'<h3>{title}</h3><div class="scroll" tabindex="0" role="region" aria-label="{title} of {escape(path)}"><table>'
        f"<thead><tr>{names}</tr></thead><tbody>{body}</tbody></table></div>"
    )
