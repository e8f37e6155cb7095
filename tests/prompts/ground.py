"""A library with two versions of a strategy of a person's, and replies by them that people vote on."""

from feedback import conversations, ratings, votes
from feedback.conversations import ReplyEnd, ReplyStart, Sampling
from feedback.duels import Maker
from feedback.ids import LOCAL_USER, MessageId, ModelVersionId, PromptVersionId, UserId
from feedback.store import Store, now
from prompts import library
from prompts.library import NewVersion, PromptVersion

NAME = "answers"


def source(title: str = "Answers", said: str = "Be brief.") -> dict[str, str]:
    """A strategy of one step that tells the model `said`."""
    text = (
        f"---\ntitle: {title}\nvariables: [history, question]\n---\n"
        f'{{% message "system" %}}{said}{{% endmessage %}}\n'
        '{% history %}\n{% message "user" %}{{ question }}{% endmessage %}\n'
    )
    return {f"{NAME}.jinja": text}


def add(
    store: Store,
    said: str,
    user_id: UserId = LOCAL_USER,
    *,
    note: str = "",
    parent_id: PromptVersionId | None = None,
) -> PromptVersion:
    """A version of `answers` that differs in what it tells the model."""
    return library.add(store, user_id, NewVersion(NAME, source(said=said), note, parent_id))


def model(store: Store, name: str) -> ModelVersionId:
    """A model version that nobody loads."""
    version_id = ModelVersionId(f"mv_{name}")
    store.execute(
        "INSERT OR IGNORE INTO model_versions (id, name, base_id, chat_template_sha256, created_at)"
        " VALUES (?, ?, 'base', 't', ?)",
        *(version_id, name, now()),
    )
    return version_id


def answered(store: Store, prompt_id: MessageId, by: Maker, text: str) -> MessageId:
    start = ReplyStart(by.model_version_id, by.prompt_version_id, NAME, Sampling(seed=1), "test")
    reply_id = conversations.start_reply(store, prompt_id, start)
    conversations.finish_reply(store, reply_id, ReplyEnd("complete", text))
    return reply_id


def asked(store: Store, question: str, consent: bool = True) -> MessageId:
    conversation = conversations.create(store, LOCAL_USER, consent=consent)
    return conversations.add_user_message(store, conversation, None, question)


def vote(
    store: Store,
    number: int,
    better: Maker,
    worse: Maker,
    *,
    user_id: UserId = LOCAL_USER,
    ranks: tuple[int, int] | None = (1, 2),
    by: votes.Source = "compare",
) -> votes.VoteId:
    """One person prefers one maker's reply to another's, on a question of its own."""
    prompt_id = asked(store, f"Question {number}?")
    shown = (
        answered(store, prompt_id, better, f"Good {number}."),
        answered(store, prompt_id, worse, f"Bad {number}."),
    )
    return votes.record(store, votes.NewVote(user_id, prompt_id, shown, ranks, by))


def rate(store: Store, number: int, by: Maker, value: int) -> None:
    """A thumb on one maker's reply."""
    reply_id = answered(store, asked(store, f"Rated {number}?"), by, f"An answer, {number}.")
    ratings.record(store, LOCAL_USER, reply_id, value)
