"""What every part of the operator page works with."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from assistant import accounts
from assistant.base import BaseChoice
from assistant.engines.interface import Engine
from assistant.fair_line import Traffic
from feedback.handlers import Part, button, chosen, confirmation, deed_for_role, for_role, say, shown
from feedback.home import Home
from feedback.ids import UserId
from feedback.people import CurrentUser, Person
from feedback.store import Store
from training.jobs import Jobs


@dataclass(frozen=True)
class Desk:
    """The rooms' doors that the page knocks at."""

    store: Store
    home: Home
    engine: Engine
    current_user: CurrentUser
    choice: BaseChoice
    traffic: Callable[[], Traffic]
    jobs: Jobs = field(default_factory=Jobs)

    def handler(self, act: Callable[..., Any]) -> Callable[..., Any]:
        """`act(person, *inputs)` as a Gradio handler for operators only."""
        return for_role(self.current_user, "operator", act)

    def deed(self, act: Callable[..., None]) -> Callable[..., None]:
        """The same for an `act` that gives nothing back: what it did is seen when the page is drawn anew."""
        return deed_for_role(self.current_user, "operator", act)


def name_of(store: Store, user_id: str) -> str:
    """A person's name, as it is today."""
    return accounts.get(store, UserId(user_id)).name


__all__ = ["Desk", "Part", "Person", "button", "chosen", "confirmation", "name_of", "say", "shown"]
