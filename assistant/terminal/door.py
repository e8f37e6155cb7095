"""What a terminal needs of Hone, wherever it runs: in a server (`remote`) or in this process (`local`).

Plain data and one protocol; knows no terminal, HTTP or store.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from feedback.comparisons import Verdict
from feedback.ids import ConversationId, MessageId


@dataclass(frozen=True)
class Listed:
    """One line of a person's list of conversations."""

    id: ConversationId
    title: str
    updated_at: str


@dataclass(frozen=True)
class Said:
    """One message on show."""

    id: MessageId
    role: str  # user, assistant
    content: str


@dataclass(frozen=True)
class Way:
    """A strategy: a way to put a question."""

    name: str
    title: str


@dataclass(frozen=True)
class Step:
    """One step of a chain: what it is called, what it says so far, and what is to be said of it."""

    title: str
    text: str
    remark: str = ""


@dataclass(frozen=True)
class Growing:
    """A reply as it stands. `waiting`: replies that start before it. `agreement`: how self-consistency
    stands. `notes`: sentences on how the reply came about.
    """

    status: str  # writing, complete, stopped, failed
    content: str = ""
    reasoning: str = ""
    steps: tuple[Step, ...] = ()
    waiting: int = 0
    error: str = ""
    agreement: str = ""
    notes: tuple[str, ...] = ()

    @property
    def finished(self) -> bool:
        return self.status != "writing"


@dataclass(frozen=True)
class Pair:
    """Two replies that are compared blind."""

    id: str
    left_id: MessageId
    right_id: MessageId


class Door(Protocol):
    """One person's chats. Everything raises HoneError when it cannot be."""

    def model(self) -> str:
        """The model version that answers."""
        ...

    def ways(self) -> Sequence[Way]:
        """The strategies, the default one first."""
        ...

    def listing(self, search: str = "") -> Sequence[Listed]:
        """One's conversations, latest first."""
        ...

    def thread(self, conversation_id: ConversationId) -> Sequence[Said]:
        """What is on show of a conversation, root first."""
        ...

    def create(self) -> ConversationId: ...

    def send(
        self, conversation_id: ConversationId, parent_id: MessageId | None, text: str, strategy: str
    ) -> MessageId:
        """Say something; returns the id of its reply, which is being written."""
        ...

    def regenerate(self, reply_id: MessageId, strategy: str) -> MessageId: ...

    def watch(self, reply_id: MessageId) -> Iterator[Growing]:
        """Whole states until the reply is finished."""
        ...

    def stop(self, reply_id: MessageId) -> None: ...

    def rate(self, reply_id: MessageId, value: int, reason: str) -> None: ...

    def demonstrate(self, reply_id: MessageId, text: str) -> None:
        """Keep a better answer than this reply."""
        ...

    def compare(self, reply_id: MessageId) -> Pair:
        """Draw a second reply, blind."""
        ...

    def vote(self, pair: Pair, verdict: Verdict) -> tuple[str, str]:
        """Vote on a pair whose replies are finished; returns what wrote the left one and the right one."""
        ...

    def close(self) -> None: ...
