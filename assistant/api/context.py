"""What every API handler needs: the rooms, and the person with the role. Knows no route."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from assistant.accounts import Access, User
from assistant.prompt_bench import PromptBench
from assistant.turns import Turns
from feedback.store import Store


@dataclass(frozen=True)
class Rooms:
    """The parts of the running server. `device` is a sentence for people: what the model runs on, and why."""

    store: Store
    turns: Turns
    access: Access
    device: str
    secure: bool
    bench: PromptBench


def rooms(request: Request) -> Rooms:
    return cast(Rooms, request.app.state.rooms)


def current_user(request: Request) -> User:
    """Whoever is logged in, with or without roles."""
    return rooms(request).access.current_user(request)


def chatter(request: Request) -> User:
    """The person, who must hold the role chatter."""
    return rooms(request).access.require("chatter")(request)


def labeller(request: Request) -> User:
    """The person, who must hold the role labeller."""
    return rooms(request).access.require("labeller")(request)


def engineer(request: Request) -> User:
    """The person, who must hold the role engineer."""
    return rooms(request).access.require("engineer")(request)


def operator(request: Request) -> User:
    """The person, who must hold the role operator."""
    return rooms(request).access.require("operator")(request)


Parts = Annotated[Rooms, Depends(rooms)]
Anyone = Annotated[User, Depends(current_user)]
Chatter = Annotated[User, Depends(chatter)]
Labeller = Annotated[User, Depends(labeller)]
Engineer = Annotated[User, Depends(engineer)]
Operator = Annotated[User, Depends(operator)]
