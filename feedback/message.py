"""What a message is: its shape in the store and in code. Knows columns, no query and no rule."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from feedback.ids import ConversationId, MessageId, ModelVersionId, PromptVersionId

Role = Literal["user", "assistant"]
Status = Literal["writing", "complete", "stopped", "failed"]
EndStatus = Literal["complete", "stopped", "failed"]


@dataclass(frozen=True)
class Turn:
    """One message as a model is told it: for a reply, the answer without its reasoning."""

    role: Role
    content: str


SEEDS = 2**31
"""Seeds are whole numbers from 0 to below this: what every engine and every server takes."""


@dataclass(frozen=True)
class Sampling:
    """How a reply is drawn. seed None: the turn draws one and records it."""

    temperature: float = 0.7
    top_p: float = 0.95
    max_tokens: int = 512
    seed: int | None = None


@dataclass(frozen=True)
class Message:
    """One message, with every column of the table `messages` under its own name."""

    id: MessageId
    conversation_id: ConversationId
    parent_id: MessageId | None
    role: Role
    content: str
    created_at: str
    status: Status
    reasoning: str | None
    trace_json: str | None
    made_json: str | None
    model_version_id: ModelVersionId | None
    prompt_version_id: PromptVersionId | None
    strategy: str | None
    chosen_because: str | None
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    seed: int | None
    engine: str | None
    prompt_text: str | None
    prompt_tokens: int | None
    reply_tokens: int | None
    dropped_turns: int
    duration_s: float | None
    ended: bool
    error: str | None
    hidden_from_chat: bool

    @property
    def turn(self) -> Turn:
        return Turn(self.role, self.content)

    @property
    def trace(self) -> list[Any]:
        """The steps of a chain or of meta prompting, in order; empty when there were none."""
        return json.loads(self.trace_json) if self.trace_json else []

    @property
    def made(self) -> dict[str, Any] | None:
        """How the answer came about, beyond its steps and its prompt; None when there is nothing to say."""
        return json.loads(self.made_json) if self.made_json else None


@dataclass(frozen=True)
class ThreadItem:
    """A message on show. branches[position] is its own id: on a page, position + 1 of len(branches)."""

    message: Message
    branches: tuple[MessageId, ...]
    position: int


@dataclass(frozen=True)
class ReplyStart:
    """What is known of a reply before its first token. `chosen_because`: why `auto` took the strategy; None:
    whoever asked had named it.
    """

    model_version_id: ModelVersionId
    prompt_version_id: PromptVersionId
    strategy: str
    sampling: Sampling
    engine: str
    chosen_because: str | None = None


@dataclass(frozen=True)
class Partial:
    """What a reply says so far, while it is being written. `trace` as in ReplyEnd."""

    reply_id: MessageId
    content: str
    reasoning: str | None = None
    trace: Sequence[Any] = ()


@dataclass(frozen=True)
class ReplyEnd:
    """How a reply ended. `ended`: by itself, not cut off by the token limit or by a person.

    `trace` is a sequence of dataclasses or JSON values, `made` a JSON object; duration_s is wall time in
    seconds.
    """

    status: EndStatus
    content: str
    reasoning: str | None = None
    trace: Sequence[Any] | None = None
    prompt_text: str | None = None
    prompt_tokens: int | None = None
    reply_tokens: int | None = None
    dropped_turns: int = 0
    duration_s: float | None = None
    error: str | None = None
    ended: bool = True
    made: Mapping[str, Any] | None = None


MESSAGE_COLUMNS = ", ".join(f"m.{field.name}" for field in fields(Message))
"""For `SELECT {MESSAGE_COLUMNS} FROM messages m`."""


def message_of_row(row: sqlite3.Row) -> Message:
    """A row that was read with MESSAGE_COLUMNS."""
    flags = {flag: bool(row[flag]) for flag in ("ended", "hidden_from_chat")}
    return Message(**{**dict(row), **flags})
