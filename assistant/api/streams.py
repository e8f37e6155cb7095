"""Answers that are streams of server-sent events: as they are sent, and as they are described."""

import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi.responses import StreamingResponse

from feedback.canonical import plain_json

MEDIA_TYPE = "text/event-stream"
STILL_HERE = ": still here\n\n"
"""A comment, for whoever waits in silence."""
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def event(name: str, data: Any) -> str:
    """One event as it stands in a stream."""
    return f"event: {name}\ndata: {json.dumps(data, default=plain_json)}\n\n"


def streamed(events: AsyncIterator[str]) -> StreamingResponse:
    return StreamingResponse(events, media_type=MEDIA_TYPE, headers=HEADERS)


def described(when: str, example: str) -> dict[int | str, dict[str, Any]]:
    """For `responses=`: OpenAPI has no schema for the events of a stream, so they are shown."""
    return {200: {"description": when, "content": {MEDIA_TYPE: {"example": example}}}}
