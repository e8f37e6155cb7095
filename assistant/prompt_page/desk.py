"""What every part of the prompt page works with, and how its handlers run."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from assistant.engines.interface import Engine
from assistant.prompt_bench import PromptBench
from feedback import good_answers
from feedback.handlers import deed_for_role, for_role, stream_for_role
from feedback.people import CurrentUser
from feedback.store import Store
from prompts import library, overview, standings
from prompts.library import VersionRecord
from prompts.overview import Overview
from prompts.standings import People

NOBODY = People((), {})


@dataclass
class _Kept:
    """What people said, read anew when a judgement changed."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    number: int = -1
    people: People = NOBODY


@dataclass(frozen=True)
class Desk:
    """The rooms' doors that the page knocks at."""

    bench: PromptBench
    current_user: CurrentUser
    _kept: _Kept = field(default_factory=_Kept)

    @property
    def store(self) -> Store:
        return self.bench.store

    @property
    def engine(self) -> Engine:
        return self.bench.engine

    def people(self) -> People:
        """What people have said of prompts until now."""
        with self._kept.lock:
            number = good_answers.changes(self.store)
            if number != self._kept.number:
                self._kept.number, self._kept.people = number, standings.read(self.store)
            return self._kept.people

    def handler(self, act: Callable[..., Any]) -> Callable[..., Any]:
        """`act(person, *inputs)` as a Gradio handler for prompt engineers only."""
        return for_role(self.current_user, "engineer", act)

    def deed(self, act: Callable[..., None]) -> Callable[..., None]:
        """The same for an `act` that gives nothing back."""
        return deed_for_role(self.current_user, "engineer", act)

    def stream(self, act: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """The same for an `act` that gives one state after another."""
        return stream_for_role(self.current_user, "engineer", act)


def strategy_choices(store: Store) -> list[tuple[str, str]]:
    """Strategies for a list, as (shown, name); those out of service say so."""
    return [(titled(one), one.name) for one in overview.read(store)]


def titled(one: Overview) -> str:
    """A strategy in a line."""
    aside = "" if one.production else ", not in service"
    return f"{one.title} ({one.name}{aside})" if one.title else f"{one.name}{aside}"


def version_choices(store: Store, name: str | None) -> list[tuple[str, str]]:
    """Versions of a strategy for a list, as (shown, id): in production first, then the newest."""
    if name is None:
        return []
    found = library.versions(store, name)
    found.sort(key=lambda one: "production" not in one.labels)
    return [(described(one), str(one.id)) for one in found]


def described(record: VersionRecord) -> str:
    """A version in a line: labels, what was noted of it, its id."""
    note = record.note if len(record.note) <= 40 else f"{record.note[:37]}..."
    said = [*reversed(record.labels), note or record.created_at[:16].replace("T", " "), record.id]
    return ", ".join(said)


def first_version(store: Store, name: str | None) -> str | None:
    """What to show of a strategy at first: what is in production, else the newest."""
    choices = version_choices(store, name)
    return choices[0][1] if choices else None
