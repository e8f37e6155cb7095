"""Scripts and styles of the chat page, under a path with their hash: changed files are never stale."""

import hashlib
from functools import cache
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import Response

from feedback.errors import NotFoundError

FOLDER = Path(__file__).parent / "static"
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}

router = APIRouter(include_in_schema=False)


@cache
def files() -> dict[str, bytes]:
    """Name -> content of each file there is. Read once: nothing is opened by a name from a request."""
    return {path.name: path.read_bytes() for path in sorted(FOLDER.iterdir()) if path.suffix in TYPES}


@cache
def version() -> str:
    return hashlib.sha256(b"\0".join(name.encode() + data for name, data in files().items())).hexdigest()[:12]


def url(name: str) -> str:
    """The address of a file, which changes when any file does (scripts import each other)."""
    return f"/ui/{version()}/{name}"


@router.get("/ui/{wanted}/{name}")
def serve(wanted: str, name: str) -> Response:
    content = files().get(name)
    if content is None:
        raise NotFoundError("There is no such file.")
    kept = "public, max-age=31536000, immutable" if wanted == version() else "no-cache"
    return Response(content, media_type=TYPES[Path(name).suffix], headers={"Cache-Control": kept})
