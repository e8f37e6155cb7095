"""Who answers, who asks, and how replies can be asked for."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from assistant import accounts, registry
from assistant.api import shapes
from assistant.api.bodies import Settings, Text
from assistant.api.context import Anyone, Chatter, Parts
from prompts import service

router = APIRouter()


@router.get("/status", tags=["Anyone"])
def status(parts: Parts, user: Anyone) -> dict[str, Any]:
    """The champion, the engine, how many replies are written and wait, and the person with their roles."""
    champion = registry.champion(parts.store)
    return {
        "champion": {"id": champion.id, "name": champion.name},
        "engine": parts.turns.engine.name,
        "window": parts.turns.engine.window,
        "device": parts.device,
        "replies": asdict(parts.turns.traffic()),
        "user": shapes.person(user),
        "accounts": accounts.exist(parts.store),
    }


@router.get("/strategies", tags=["Chatter"])
def strategies(parts: Parts, user: Chatter) -> dict[str, Any]:
    """The ways to put a question, `auto` among them, and the settings a reply has when none are sent."""
    return {
        "strategies": [asdict(one) for one in service.offered(parts.store)],
        "defaults": Settings().model_dump(),
    }


@router.get("/strategies/auto", tags=["Chatter"])
def choice(parts: Parts, user: Chatter, question: Text) -> dict[str, Any]:
    """What `auto` would take for a question, and why: nothing is asked of the model."""
    return asdict(parts.turns.choice(question))
