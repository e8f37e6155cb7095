"""Who answers, who asks, and how replies can be asked for."""

from dataclasses import dataclass

from fastapi import APIRouter

from assistant import accounts, registry
from assistant.api import shapes
from assistant.api.answers import NamedModel, Person
from assistant.api.bodies import Settings, Text
from assistant.api.context import Anyone, Chatter, Parts
from assistant.fair_line import Traffic
from prompts import service
from prompts.auto import Choice
from prompts.service import Offered

router = APIRouter()


@dataclass(frozen=True)
class ServerStatus:
    """`window`: how many tokens the model reads and writes in all. `device`: what it runs on, and why.
    `accounts`: whether there are any.
    """

    champion: NamedModel
    engine: str
    window: int
    device: str
    replies: Traffic
    user: Person
    accounts: bool


@dataclass(frozen=True)
class Strategies:
    strategies: list[Offered]
    defaults: Settings


@router.get("/status", tags=["Any role"])
def status(parts: Parts, user: Anyone) -> ServerStatus:
    """The champion, the engine, how many replies are written and wait, and the person with their roles."""
    champion = registry.champion(parts.store)
    return ServerStatus(
        NamedModel(champion.id, champion.name),
        engine=parts.turns.engine.name,
        window=parts.turns.engine.window,
        device=parts.device,
        replies=parts.turns.traffic(),
        user=shapes.person(user),
        accounts=accounts.exist(parts.store),
    )


@router.get("/strategies", tags=["Chatter"])
def strategies(parts: Parts, user: Chatter) -> Strategies:
    """The ways to put a question, `auto` among them, and the settings a reply has when none are sent."""
    return Strategies(service.offered(parts.store), Settings())


@router.get("/strategies/auto", tags=["Chatter"])
def choice(parts: Parts, user: Chatter, question: Text) -> Choice:
    """What `auto` would take for a question, and why: nothing is asked of the model."""
    return parts.turns.choice(question)
