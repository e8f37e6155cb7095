"""What an evaluation asks: items with gold answers, in datasets. Plain data; knows no file, no model."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from feedback.canonical import sha256_of


@dataclass(frozen=True)
class Item:
    """One question with its gold answer.

    `options`: the answers to choose from; () where anything may be answered. `worked`: the way to the answer
    in words, for examples that show one; "" where the data have none. `group`: the part of the data that it
    belongs to, such as a subject: its examples come from there. `extra`: what the metric needs beside, as
    JSON text.
    """

    id: str
    question: str
    answer: str
    options: tuple[str, ...] = ()
    worked: str = ""
    group: str = ""
    extra: str = "{}"


@dataclass(frozen=True)
class Score:
    """What an answer is worth, 0 to 1. `read`: what the metric read in it."""

    value: float
    read: str


class Metric(Protocol):
    """What an answer is worth. A reward model that scores replies is one more of these.

    `name` and `rule` say to people what counts as right.
    """

    @property
    def name(self) -> str: ...

    @property
    def rule(self) -> str: ...

    def score(self, said: str, item: Item) -> Score:
        """Raises HoneError when `said` cannot be judged: that is no score of 0."""
        ...


@dataclass(frozen=True)
class Dataset:
    """Items to be asked, and examples to show.

    `name`: for people, such as `sst2:dev.jsonl`. `train`: never asked, only shown in few-shot prompts.
    `content_free`: question texts that ask the same of nothing, for contextual calibration; () where the
    format has none. `judge`: makes the metric; called once, so that a heavy library opens only when used.
    `whole`: options are whole replies, whose ends count, and not their beginnings.
    """

    name: str
    items: tuple[Item, ...]
    judge: Callable[[], Metric]
    train: tuple[Item, ...] = ()
    content_free: tuple[str, ...] = ()
    whole: bool = False

    def limited(self, most: int | None) -> "Dataset":
        """At most so many items: those whose hash is smallest, so that any file order gives a fair draw, the
        same each time and in whatever words it is asked, and a larger limit asks the same items and more.
        """
        if most is None or most >= len(self.items):
            return self
        chosen = sorted(self.items, key=lambda item: sha256_of(item.id))[:most]
        kept = {item.id for item in chosen}
        items = tuple(item for item in self.items if item.id in kept)
        return replace(self, items=items)


def extra_of(item: Item) -> Mapping[str, Any]:
    """`item.extra`, read."""
    found: Mapping[str, Any] = json.loads(item.extra)
    return found
