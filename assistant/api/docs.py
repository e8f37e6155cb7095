"""The API described: OpenAPI for programs, and a page for people that needs no script and no other server."""

import re
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
code { font-family: var(--hone-mono); font-size: .9em; } td { padding: 2px var(--hone-s3) 2px 0; }
.method { color: var(--hone-accent); } .tag, td + td { color: var(--hone-muted); }
.tag { float: right; font-size: .85rem; }
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
        " Errors say what happened, why, and what to do. "
        'The same for programs: <a href="/api/openapi.json">openapi.json</a>.</p>'
        f"{''.join(articles)}</main></body></html>"
    )


def _article(method: str, path: str, operation: dict[str, Any], bodies: dict[str, Any]) -> str:
    takes = [
        (one["name"], one["schema"], one["in"] == "path" or one.get("required", False))
        for one in operation.get("parameters", ())
    ]
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    body = bodies.get(content.get("schema", {}).get("$ref", "").rpartition("/")[2], {})
    required = body.get("required", ())
    takes += [(name, about, name in required) for name, about in body.get("properties", {}).items()]
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(_kind(about))}</td>"
        f"<td>{'required' if needed else ''}</td></tr>"
        for name, about, needed in takes
    )
    told = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(operation.get("description", "")))
    return (
        f'<article><span class="tag">{escape(", ".join(operation.get("tags", ())))}</span>'
        f'<h3><code><span class="method">{method.upper()}</span> {escape(path)}</code></h3>'
        f"<p>{told}</p>{f'<table>{rows}</table>' if rows else ''}</article>"
    )


def _kind(about: dict[str, Any]) -> str:
    """A field's type in a few words."""
    if "anyOf" in about:
        return " or ".join(dict.fromkeys(_kind(one) for one in about["anyOf"]))
    if "enum" in about:
        return " or ".join(map(str, about["enum"]))
    if "$ref" in about:
        return str(about["$ref"]).rpartition("/")[2]
    if about.get("type") == "array":
        return f"list of {_kind(about.get('items', {}))}"
    return str(about.get("type", "anything"))
