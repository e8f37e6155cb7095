"""Which conversation a program's request goes on with, found by a hash of everything said so far.

Knows conversations that began through the API, and no model. A program sends the whole conversation each
time; when its turns are exactly a path that is in the store, the new question becomes a branch of that tree
instead of a copy, so that a reply, its votes and its continuations stay together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from feedback import conversations
from feedback.canonical import sha256_of
from feedback.errors import HoneError
from feedback.ids import MessageId, UserId
from feedback.message import Turn
from feedback.store import Store


@dataclass(frozen=True)
class Asked:
    """What a program said: its system text ("" for none), and turns that alternate, the user's first and
    last.
    """

    system_text: str
    turns: tuple[Turn, ...]

    def __post_init__(self) -> None:
        wanted = ["user" if place % 2 == 0 else "assistant" for place in range(len(self.turns))]
        if not self.turns or len(self.turns) % 2 == 0 or [turn.role for turn in self.turns] != wanted:
            raise HoneError("Turns must alternate between user and assistant, and end with the user's.")


def keep(store: Store, user_id: UserId, asked: Asked) -> MessageId:
    """Write the question that `asked` ends with; returns its message.

    It goes under the reply it follows, where that is in the store already; else a new conversation begins,
    its earlier replies given. One transaction.
    """
    with store.transaction():
        leaf = _found(store, user_id, asked)
        if leaf is not None:
            conversation_id, turns = conversations.message(store, leaf).conversation_id, asked.turns[-1:]
        else:
            turns = asked.turns
            conversation_id = conversations.create(
                store, user_id, origin="api", system_text=asked.system_text
            )
        said = list(asked.turns[: len(asked.turns) - len(turns)])
        for turn in turns:
            said.append(turn)
            if turn.role == "assistant" and leaf is not None:
                leaf = conversations.add_given_reply(store, leaf, turn.content)
                continue
            leaf = conversations.add_user_message(store, conversation_id, leaf, turn.content)
            store.execute(
                "INSERT INTO api_prompts (message_id, user_id, path_sha256) VALUES (?, ?, ?)",
                *(leaf, user_id, _path_sha256(asked.system_text, said)),
            )
    if leaf is None:
        raise HoneError("There is no question.")
    return leaf


def _found(store: Store, user_id: UserId, asked: Asked) -> MessageId | None:
    """The reply that the last question follows, if all that was said before it is a path in the store."""
    if len(asked.turns) < 3:
        return None
    row = store.row(
        "SELECT r.id FROM api_prompts p JOIN messages r ON r.parent_id = p.message_id"
        " JOIN conversations c ON c.id = r.conversation_id"
        " WHERE p.user_id = ? AND p.path_sha256 = ? AND r.content = ? AND r.status IN ('complete', 'stopped')"
        " AND r.hidden_from_chat = 0 AND c.deleted_at IS NULL ORDER BY r.rowid DESC LIMIT 1",
        user_id,
        _path_sha256(asked.system_text, asked.turns[:-2]),
        asked.turns[-2].content,
    )
    return row["id"] if row else None


def _path_sha256(system_text: str, turns: Sequence[Turn]) -> str:
    return sha256_of([system_text, [[turn.role, turn.content] for turn in turns]])
