"""The API described: OpenAPI for programs, and a page for people that needs no script and no other server."""

import json
import re
from collections.abc import Iterator
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
.tag { float: right; font-size: .85rem; } td { vertical-align: top; }
pre { overflow-x: auto; margin: var(--hone-s2) 0; font-family: var(--hone-mono); font-size: .85em; }
td:first-child { white-space: nowrap; }
@media (max-width: 40rem) { td { display: block; } tr { display: block; margin-bottom: var(--hone-s2); } }
"""

router = APIRouter(tags=["Anyone"])


@router.get("/openapi.json")
def schema(request: Request, user: Anyone) -> JSONResponse:
    """This API as OpenAPI 3.1."""
    return JSONResponse(request.app.openapi())


@router.get("/docs")
def page(request: Request, user: Anyone) -> HTMLResponse:
    """This API as a page: each route, who may use it, and what it takes."""
    return HTMLResponse(render(request.app.openapi()))


def render(schema: dict[str, Any]) -> str:
    """The page that an OpenAPI schema gives. Pure."""
    bodies = schema.get("components", {}).get("schemas", {})
    articles = [
        _article(method, path, operation, bodies)
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


def _article(method: str, path: str, operation: dict[str, Any], bodies: dict[str, Any]) -> str:
    takes = [
        _row(one["name"], one["schema"], one["in"] == "path" or one.get("required", False))
        for one in operation.get("parameters", ())
    ]
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    body = bodies.get(_name(content.get("schema", {})), {})
    takes += _rows(body, bodies)
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
        f"{table}{examples}"
        f'<p class="fails">Errors: {fails}</p></article>'
    )


def _rows(body: dict[str, Any], bodies: dict[str, Any], within: str = "") -> Iterator[str]:
    """A line for each field of `body`; those of a body within it stand behind its name and a dot."""
    for name, about in body.get("properties", {}).items():
        yield _row(within + name, about, name in body.get("required", ()))
        inner = about.get("items", about)
        for kind in (inner, *inner.get("anyOf", ())):
            yield from _rows(bodies.get(_name(kind), {}), bodies, f"{within}{name}.")


def _row(name: str, about: dict[str, Any], needed: bool) -> str:
    usual = about.get("default")
    plain = usual not in (None, "", False) and not isinstance(usual, dict)
    more = "required" if needed else f"default {usual}" if plain else ""
    told = "; ".join(text for text in (more, _marked(about.get("description", ""))) if text)
    return f"<tr><td><code>{escape(name)}</code></td><td>{escape(_kind(about))}</td><td>{told}</td></tr>"


def _name(schema: dict[str, Any]) -> str:
    """The name of the body that a schema points at, "" for none."""
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _marked(text: str) -> str:
    """A description as HTML: what stands between backquotes is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _kind(about: dict[str, Any]) -> str:
    """A field's type and limits in a few words."""
    if "anyOf" in about:
        return " or ".join(dict.fromkeys(_kind(one) for one in about["anyOf"]))
    if "enum" in about:
        return " or ".join(map(str, about["enum"]))
    if "$ref" in about:
        return "object"
    if about.get("type") == "array":
        items = about.get("items", {})
        return f"list of {_kind(items)}{'s' if '$ref' in items else ''}"
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
