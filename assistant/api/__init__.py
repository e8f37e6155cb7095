"""The JSON API under /api. Thin: each handler checks the role, calls the room, and shapes the answer."""

from fastapi import APIRouter

from assistant.api import (
    conversations,
    docs,
    judgements,
    prompt_people,
    prompt_work,
    prompts,
    replies,
    status,
    tasks,
)

router = APIRouter(prefix="/api")
for part in (status, conversations, replies, judgements, tasks, prompts, prompt_work, prompt_people, docs):
    router.include_router(part.router)

__all__ = ["router"]
