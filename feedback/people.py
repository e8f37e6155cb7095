"""Who is at the page, as far as a page needs to know. Knows no accounts or sessions: assistant does."""

from collections.abc import Callable
from typing import Any, Literal, Protocol

from feedback.errors import ForbiddenError
from feedback.ids import UserId

Role = Literal["chatter", "labeller", "engineer", "operator"]
ROLES: tuple[Role, ...] = ("chatter", "labeller", "engineer", "operator")
"""Whoever chats, ranks, writes prompts, trains. An engineer's key may put a prompt in service and can never
replace the model; an operator's may replace the model and needs no say in prompts.
"""


class Person(Protocol):
    """Someone known to the server. `roles` is a subset of ROLES."""

    @property
    def id(self) -> UserId: ...
    @property
    def name(self) -> str: ...
    @property
    def roles(self) -> frozenset[Role]: ...


CurrentUser = Callable[[Any], Person]
"""From a web request (FastAPI's or Gradio's: both have `.cookies`, `.headers`, `.client`) to the person.

Raises HoneError (status 401) when nobody is logged in. Given to each page's `build`: pages need no accounts.
"""


def allowed(person: Person, role: Role) -> Person:
    """The person, if they hold `role`; else ForbiddenError. For every handler: hiding protects nothing."""
    if role not in person.roles:
        raise ForbiddenError(
            f"This needs the role {role}.",
            f"{person.name} has {', '.join(sorted(person.roles)) or 'no role'}.",
            f"Ask an operator to run: hone users add {person.name} --role {role}",
        )
    return person
