"""What the API answers with, as the types that its handlers return. Knows no route; `shapes` fills them.

The description of an answer is read from its type. FastAPI leaves out of an answer, unseen, what its type
does not declare: so they are no dicts but frozen dataclasses, which hold what they declare and nothing else.
It takes these as they are, without a check of each field, and writes them in compiled code.
"""

from dataclasses import dataclass
from typing import Literal

from assistant.reply_record import Made
from feedback.comparisons import Verdict
from feedback.ids import ConversationId, MessageId, ModelVersionId, PromptVersionId, UserId
from feedback.message import Status
from prompts.events import Sample, TraceStep
from prompts.examples import Example


@dataclass(frozen=True)
class Person:
    id: UserId
    name: str
    roles: tuple[str, ...]


@dataclass(frozen=True)
class NamedModel:
    id: ModelVersionId
    name: str


@dataclass(frozen=True)
class NamedPrompt:
    """`name`: the strategy's."""

    id: PromptVersionId | None
    name: str | None


@dataclass(frozen=True, kw_only=True)
class ListedConversation:
    """`consent`: whether its judgements may be learnt from."""

    id: ConversationId
    title: str
    updated_at: str
    consent: bool


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step before an answer. `prompt`: the prompt that it wrote, where that is what it is for."""

    name: str
    title: str
    done: bool
    remark: str
    prompt: str


@dataclass(frozen=True, kw_only=True)
class ShownStep(Step):
    __doc__ = Step.__doc__

    html: str


@dataclass(frozen=True)
class CountedSample(Sample):
    """`agrees`: with the answer that won."""

    agrees: bool


@dataclass(frozen=True)
class HowMade:
    """How an answer came about. `votes`: the answers of self-consistency, and how many samples gave each."""

    votes: tuple[tuple[str, int], ...]
    samples: tuple[CountedSample, ...]
    examples: tuple[Example, ...]


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What every shape of a reply says beside its texts."""

    id: MessageId
    status: Status
    steps: tuple[Step, ...]
    agreement: str
    made: HowMade
    notes: tuple[tuple[str, str], ...]
    dropped_turns: int
    error: str
    waiting: int


@dataclass(frozen=True, kw_only=True)
class ShownReply(Reply):
    """A reply as it stands. `notes`: what is to be known of it, each as its kind and a sentence. `waiting`:
    how many are ahead of it in the model's line. `content`: once it is finished.
    """

    steps: tuple[ShownStep, ...]
    html: str
    reasoning_html: str
    content: str


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Where a message stands: `branches[position]` is its own id."""

    parent_id: MessageId | None
    branches: tuple[MessageId, ...]
    position: int


@dataclass(frozen=True, kw_only=True)
class ThreadQuestion(Placed):
    """What a person said."""

    id: MessageId
    role: Literal["user"]
    content: str


@dataclass(frozen=True)
class GivenRating:
    value: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class ThreadReply(Placed, ShownReply):
    __doc__ = ShownReply.__doc__

    role: Literal["assistant"]
    rating: GivenRating | None
    demonstration: str | None


Thread = tuple[ThreadQuestion | ThreadReply, ...]


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A reply that is being written, and the messages that are new on show."""

    reply_id: MessageId
    thread: Thread


@dataclass(frozen=True, kw_only=True)
class ReadConversation(ListedConversation):
    __doc__ = ListedConversation.__doc__

    thread: Thread


@dataclass(frozen=True, kw_only=True)
class BegunConversation(ListedConversation, Begun):
    """A new conversation with its first message and the reply to it."""


@dataclass(frozen=True)
class UsedSettings:
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    seed: int | None


@dataclass(frozen=True, kw_only=True)
class Record:
    """Everything that made a reply. `examples`: what those of its prompts came from. `made`: null where there
    is nothing to say. `chosen_because`: why `auto` took the strategy.
    """

    id: MessageId
    status: Status
    model_version: NamedModel | None
    prompt_version: NamedPrompt
    strategy: str | None
    chosen_because: str | None
    settings: UsedSettings
    engine: str | None
    prompt_text: str | None
    prompt_tokens: int | None
    reply_tokens: int | None
    dropped_turns: int
    duration_s: float | None
    steps: tuple[TraceStep, ...]
    made: Made | None
    examples: tuple[str, ...]
    created_at: str
    error: str | None


@dataclass(frozen=True, kw_only=True)
class Side(ShownReply):
    """One of two replies, as in a thread. `record`: who wrote it, and how; null until there is a vote."""

    record: Record | None


@dataclass(frozen=True)
class BlindPair:
    """Two replies to compare. `verdict`: one's vote; null before it."""

    id: str
    prompt_message_id: MessageId
    verdict: Verdict | None
    left: Side
    right: Side
