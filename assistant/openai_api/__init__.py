"""OpenAI's API under /v1, for every tool that speaks it. Thin: the replies are turns like the chat page's."""

from fastapi import APIRouter

from assistant.openai_api import chat, completions, models


def router() -> APIRouter:
    """Routes under /v1, for one server."""
    made = APIRouter(prefix="/v1", tags=["OpenAI"])
    for part in (models.router, chat.router, completions.router()):
        made.include_router(part)
    return made


__all__ = ["router"]
