"""The API described: OpenAPI for programs, and a page for people that needs no script and no other server."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse

from assistant.api.context import Anyone
from feedback import look

METHODS = ("get", "post", "put", "patch", "delete")
STYLE = """
body { margin: 0; background: var(--hone-bg); color: var(--hone-text); font-family: var(--hone-font); }
main { max-width: 54rem; margin: 0 auto; padding: var(--hone-s5); }
article { background: var(--hone-surface); border: 1px solid var(--hone-line);
  border-radius: var(--hone-radius); padding: var(--hone-s3) var(--hone-s4); margin: var(--hone-s3) 0; }
h3 { margin: 0; font-size: 1rem; overflow-wrap: anywhere; } p { margin: var(--hone-s2) 0; }
a { color: var(--hone-accent); }
code { font-family: var(--hone-mono); font-size: .9em; overflow-wrap: anywhere; }
td { padding: 2px var(--hone-s3) 2px 0; }
.method { color: var(--hone-accent); } .tag, td + td { color: var(--hone-muted); }
details { margin: var(--hone-s2) 0; }
details pre { white-space: pre-wrap; overflow-wrap: anywhere; }
summary { cursor: pointer; color: var(--hone-muted); }
.tag { float: right; font-size: .85rem; } td { vertical-align: top; }
pre { overflow-x: auto; margin: var(--hone-s2) 0; font-family: var(--hone-mono); font-size: .85em; }
td:first-child { white-space: nowrap; }
@media (max-width: 40rem) {
  tr { display: block; margin-bottom: var(--hone-s2); } td { display: block; } td:empty { display: none; }
  td:first-child { white-space: normal; }
}
"""

router = APIRouter(tags=["Any role"])


@dataclass(frozen=True)
class Document:
    """What `assistant.described` writes, the parts of it as OpenAPI says."""

    openapi: str
    info: dict[str, str]
    paths: dict[str, Any]
    components: dict[str, Any]
    security: list[dict[str, list[str]]]


@router.get("/openapi.json", response_model=Document)
def schema(request: Request, user: Anyone) -> JSONResponse:
    """This API as OpenAPI 3.1."""
    return JSONResponse(request.app.openapi())


@router.get("/docs", response_class=HTMLResponse)
def page(request: Request, user: Anyone) -> HTMLResponse:
    """This API as a page: each route, who may use it, what it takes, and what it answers."""
    return HTMLResponse(render(request.app.openapi()))


def render(schema: dict[str, Any]) -> str:
    """The page that an OpenAPI schema gives. Pure."""
    shapes = schema.get("components", {}).get("schemas", {})
    articles = [
        _article(method, path, operation, shapes)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>API - Hone</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{look.plain_css()}{STYLE}</style></head><body><main><h1>Hone's API</h1>"
        "<p>Programs send <code>Authorization: Bearer KEY</code>, with a key from <code>hone keys add</code>."
        " Errors say what happened, why, and what to do. Who may use a route stands at its right. "
        'The same for programs: <a href="/api/openapi.json">openapi.json</a>.</p>'
        f"{''.join(articles)}</main></body></html>"
    )


def _article(method: str, path: str, operation: dict[str, Any], shapes: dict[str, Any]) -> str:
    takes = [
        _row(one["name"], one["schema"], _wanted(one["schema"], one["in"] == "path" or one.get("required")))
        for one in operation.get("parameters", ())
    ]
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    body = shapes.get(_name(content.get("schema", {})), {})
    takes += [_row(name, about, _wanted(about, needed)) for name, about, needed in _fields(body, shapes)]
    table = f"<table>{''.join(takes)}</table>" if takes else ""
    told = [operation.get("description", ""), body.get("description", "")]
    examples = "".join(
        f"<pre>{escape(json.dumps(one, ensure_ascii=False, indent=1))}</pre>"
        for one in body.get("examples", ())
    )
    fails = ", ".join(sorted(status for status in operation["responses"] if status.startswith("4")))
    return (
        f'<article><span class="tag">{escape(operation["x-hone-role"])}</span>'
        f'<h3><code><span class="method">{method.upper()}</span> {escape(path)}</code></h3>'
        f"{''.join(f'<p>{_marked(text)}</p>' for text in told if text)}"
        f"{table}{examples}{''.join(_answers(operation, shapes))}"
        f'<p class="fails">Errors: {fails}</p></article>'
    )


def _answers(operation: dict[str, Any], shapes: dict[str, Any]) -> Iterator[str]:
    """What comes back, folded: the fields of JSON, a piece of a stream, else the kind of file alone."""
    for status, answer in operation["responses"].items():
        for kind, content in answer.get("content", {}).items() if status.startswith("2") else ():
            shown = _answer(content.get("schema", {}), shapes)
            if "example" in content:
                shown = f"<p>{_marked(answer['description'])}</p><pre>{escape(content['example'])}</pre>"
            title = f"Answer {status}: {kind.removeprefix('application/')}"
            yield f"<details><summary>{title}</summary>{shown}</details>" if shown else f"<p>{title}</p>"


def _answer(schema: dict[str, Any], shapes: dict[str, Any]) -> str:
    """The fields of an answer; those that several shapes of it have stand there once."""
    rows = dict.fromkeys(
        _row(name, about, _about(about, shapes))
        for shape in _within(schema)
        for name, about, _ in _fields(shapes[shape], shapes)
    )
    told = _about(schema, shapes)
    return (f"<p>{told}</p>" if told else "") + (f"<table>{''.join(rows)}</table>" if rows else "")


def _about(about: dict[str, Any], shapes: dict[str, Any]) -> str:
    """What the shapes say that `about` may have."""
    return _marked(" ".join(filter(None, (shapes[one].get("description") for one in _within(about)))))


def _fields(
    shape: dict[str, Any], shapes: dict[str, Any], within: str = ""
) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Each field of `shape`: its name, what is said of it, whether it is required. Those of a shape within it
    stand behind its name and a dot.
    """
    for name, about in shape.get("properties", {}).items():
        yield within + name, about, name in shape.get("required", ())
        for inner in _within(about):
            yield from _fields(shapes[inner], shapes, f"{within}{name}.")


def _within(about: dict[str, Any]) -> list[str]:
    """The names of the shapes that a field, an answer or what is in its list may have."""
    inner = [*about.get("anyOf", ()), *([about["items"]] if "items" in about else [])]
    return [_name(about)] if "$ref" in about else [name for one in inner for name in _within(one)]


def _wanted(about: dict[str, Any], needed: bool) -> str:
    """What is to be known of a field that is sent."""
    usual = about.get("default")
    plain = usual not in (None, "", False) and not isinstance(usual, dict)
    more = "required" if needed else f"default {usual}" if plain else ""
    return "; ".join(text for text in (more, _marked(about.get("description", ""))) if text)


def _row(name: str, about: dict[str, Any], told: str) -> str:
    return f"<tr><td><code>{escape(name)}</code></td><td>{escape(_kind(about))}</td><td>{told}</td></tr>"


def _name(schema: dict[str, Any]) -> str:
    """The name of the shape that a schema points at, "" for none."""
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _marked(text: str) -> str:
    """A description as HTML: what stands between backquotes is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _kind(about: dict[str, Any]) -> str:
    """A field's type and limits in a few words."""
    if "anyOf" in about:
        return " or ".join(dict.fromkeys(_kind(one) for one in about["anyOf"]))
    if "enum" in about or "const" in about:
        return " or ".join(map(str, about.get("enum", [about.get("const")])))
    if "$ref" in about:
        return "object"
    if about.get("type") == "array":
        if "prefixItems" in about:
            return f"list of {' and '.join(_kind(one) for one in about['prefixItems'])}"
        items = about.get("items", {})
        return f"list of {_kind(items)}{'s' if _within(items) else ''}"
    return str(about.get("type", "anything")) + _limits(about)


def _limits(about: dict[str, Any]) -> str:
    low = about.get("minimum", about.get("exclusiveMinimum"))
    high = about.get("maximum", about.get("exclusiveMaximum"))
    if low is None and high is None:
        return ""
    above, below = (
        "above " if "exclusiveMinimum" in about else "",
        "below " if "exclusiveMaximum" in about else "",
    )
    if high is None:
        return f" from {above}{low:.10g}"
    return f" from {above}{low:.10g} to {below}{high:.10g}"
