"""Shared builders: small, real things made through public doors."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from feedback import comparisons, conversations, demonstrations, label, ratings, snapshots, votes
from feedback.conversations import ReplyEnd, ReplyStart, Sampling
from feedback.ids import (
    LOCAL_USER,
    SYSTEM_USER,
    ConversationId,
    MessageId,
    ModelVersionId,
    PromptVersionId,
    UserId,
)
from feedback.message import EndStatus
from feedback.store import Store, now
from prompts import library
from prompts.chat import ChatTemplate
from prompts.teller import Ask

MODEL_VERSION = ModelVersionId("mv_test")
PROMPT_VERSION = PromptVersionId("pv_test")
TEMPLATE_SHA256 = "t" * 64
START = ReplyStart(MODEL_VERSION, PROMPT_VERSION, "zero-shot", Sampling(seed=7), "torch")


@dataclass(frozen=True)
class Asked:
    """A conversation with one question and its replies."""

    conversation_id: ConversationId
    prompt_id: MessageId
    replies: tuple[MessageId, ...]


@cache
def _file_of(fill: Callable[[Store], object]) -> bytes:
    """The file of a new store that was filled. To make one takes twenty times as long as to copy it."""
    with TemporaryDirectory() as folder:
        made = Store(Path(folder) / "hone.db")
        fill(made)
        made.close()
        return made.path.read_bytes()


def _nothing(_store: Store) -> None: ...


def empty_store(file: Path, fill: Callable[[Store], object] = _nothing) -> Store:
    """The store in `file`, made where there is none; then `fill`ed, which does nothing the second time."""
    if file.exists():
        fill(found := Store(file))
        return found
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(_file_of(fill))
    return Store(file)


def shipped_store(file: Path) -> Store:
    """The same with the shipped strategies in it."""
    return empty_store(file, library.register_shipped)


def store(home: Path) -> Store:
    """An empty store with one model version and one prompt version (replies must name both)."""
    made = empty_store(home / "hone.db")
    made.execute(
        "INSERT OR IGNORE INTO model_versions (id, name, base_id, chat_template_sha256, created_at)"
        " VALUES (?, 'base', 'test', ?, ?)",
        MODEL_VERSION,
        TEMPLATE_SHA256,
        now(),
    )
    made.execute(
        "INSERT OR IGNORE INTO prompt_versions (id, sha256, name, source_json, origin, created_at)"
        " VALUES (?, 'p', 'test', '{}', 'shipped', ?)",
        PROMPT_VERSION,
        now(),
    )
    return made


def person(store: Store, name: str) -> UserId:
    """Another person, with every role."""
    user_id = UserId(f"u_{name}")
    store.execute(
        "INSERT INTO users (id, name, roles_json, created_at) VALUES (?, ?, ?, ?)",
        user_id,
        name,
        '["chatter","labeller","engineer","operator"]',
        now(),
    )
    return user_id


def reply(
    store: Store, prompt_id: MessageId, text: str, hidden: bool = False, status: EndStatus = "complete"
) -> MessageId:
    """A finished reply."""
    reply_id = conversations.start_reply(store, prompt_id, START, hidden)
    conversations.finish_reply(store, reply_id, ReplyEnd(status, text))
    return reply_id


def asked(
    store: Store, question: str, *replies: str, user_id: UserId = LOCAL_USER, consent: bool = True
) -> Asked:
    """A new conversation with one question and a branch for each reply."""
    return _opened(store, conversations.create(store, user_id, consent=consent), question, replies)


def drawn(store: Store, question: str, *replies: str) -> Asked:
    """A question of the label queue, with its replies: nobody's conversation."""
    return _opened(store, conversations.create(store, SYSTEM_USER, origin="drawn"), question, replies)


def _opened(store: Store, conversation_id: ConversationId, question: str, replies: Sequence[str]) -> Asked:
    prompt_id = conversations.add_user_message(store, conversation_id, None, question)
    return Asked(conversation_id, prompt_id, tuple(reply(store, prompt_id, text) for text in replies))


def voted(store: Store, about: Asked, ranks: tuple[int, ...] | None, user_id: UserId = LOCAL_USER) -> str:
    """A vote on all the replies, shown in the order of writing."""
    return votes.record(store, votes.NewVote(user_id, about.prompt_id, about.replies, ranks, "api"))


def judged_store(store: Store) -> None:
    """A store with one of everything: votes, a changed one, a skip, thumbs, a better answer, a snapshot."""
    first = asked(store, "What is tea?", "A drink.", "Leaves in hot water.", "No idea.")
    voted(store, first, (1, 2, 2))
    second = asked(store, "What is ink?", "A dark liquid.", "A fish.")
    pair = comparisons.open_pair(store, LOCAL_USER, *second.replies)
    comparisons.vote(store, LOCAL_USER, pair, "left")
    comparisons.vote(store, LOCAL_USER, pair, "both_bad")
    ratings.record(store, LOCAL_USER, second.replies[0], 1, "short")
    ratings.record(store, LOCAL_USER, second.replies[1], -1)
    demonstrations.record(store, LOCAL_USER, second.replies[1], "A coloured liquid to write with.")
    third = asked(store, "What is rope?", "Twisted strands.", "A line.")
    label.skip(store, LOCAL_USER, label.add_task(store, third.prompt_id, third.replies), "not sure")
    snapshots.freeze(store, LOCAL_USER, TEMPLATE_SHA256, PROMPT_VERSION)


CHATML = """\
{% for message in messages %}\
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + eos_token + '\\n' }}\
{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""


def chatml() -> ChatTemplate:
    """A chat template in the manner of the embedded model's, without its default system message."""
    return ChatTemplate(CHATML, "<|im_start|>", "<|im_end|>", ("<|im_start|>", "<|im_end|>", "<|endoftext|>"))


@dataclass
class ScriptedTeller:
    """A model that says what it was told to, character by character; one character of prompt is one token.

    Samples come a character of each in turn, so that they are written side by side.
    """

    says: list[str]
    window: int = 10_000
    max_tokens: int = 100
    stop_after: int | None = None  # replies
    asked: list[Ask] = field(default_factory=list)
    template: ChatTemplate = field(default_factory=chatml)
    system_text: str = ""

    @property
    def stopped(self) -> bool:
        return self.stop_after is not None and len(self.asked) >= self.stop_after

    def count_tokens(self, text: str) -> int:
        return len(text)

    def generate(self, ask: Ask) -> Iterator[str]:
        self.asked.append(ask)
        yield from self.says[len(self.asked) - 1]

    def sample(self, asks: Sequence[Ask]) -> Iterator[tuple[int, str | None]]:
        texts = self.says[len(self.asked) : len(self.asked) + len(asks)]
        for place in range(max(map(len, texts)) + 1):
            for which, text in enumerate(texts):
                if place < len(text):
                    yield which, text[place]
                elif place == len(text):
                    yield which, None
                    self.asked.append(asks[which])
                    if self.stopped:
                        return
