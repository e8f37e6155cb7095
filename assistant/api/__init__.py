"""The JSON API under /api. Thin: each handler checks the role, calls the room, and shapes the answer."""

from fastapi import APIRouter

from assistant.api import conversations, judgements, replies, status

router = APIRouter(prefix="/api")
for part in (status, conversations, replies, judgements):
    router.include_router(part.router)

__all__ = ["router"]
