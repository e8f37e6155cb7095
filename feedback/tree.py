"""The tree of messages in a conversation: what is said and written.

It only grows. Knows no model and no page. A user message has replies, a reply has user messages; a second
child of one parent is a branch. Rows are ordered by rowid, which is the order of writing. Rooms call these
through `feedback.conversations`; what of the tree is on show: `feedback.on_show`.
"""

import json
from collections.abc import Sequence
from typing import Any

from feedback.canonical import plain_json
from feedback.errors import ConflictError, HoneError, NotFoundError
from feedback.ids import ConversationId, MessageId, UserId, new_id
from feedback.message import (
    MESSAGE_COLUMNS,
    Message,
    Partial,
    ReplyEnd,
    ReplyStart,
    message_of_row,
)
from feedback.store import Store, now
from feedback.titles import NEW_TITLE, one_line


def message(store: Store, message_id: MessageId) -> Message:
    """One message by id. Raises NotFoundError."""
    row = store.row(f"SELECT {MESSAGE_COLUMNS} FROM messages m WHERE m.id = ?", message_id)  # noqa: S608
    if row is None:
        raise NotFoundError("There is no such message.")
    return message_of_row(row)


def own_reply(store: Store, user_id: UserId, reply_id: MessageId) -> Message:
    """A reply in a conversation of this person.

    Raises NotFoundError for any other, HoneError for a person's message.
    """
    reply = message(store, reply_id)
    if not store.rows(
        "SELECT 1 FROM conversations WHERE id = ? AND user_id = ? AND deleted_at IS NULL",
        reply.conversation_id,
        user_id,
    ):
        raise NotFoundError("There is no such message.")
    if reply.role != "assistant":
        raise HoneError("Only a reply can be judged, not a person's message.")
    return reply


def add_user_message(
    store: Store, conversation_id: ConversationId, parent_id: MessageId | None, content: str
) -> MessageId:
    """Add what a person said under a reply (parent None: at the root) and put it on show.

    A second child of one parent is a branch. Raises HoneError for an empty text or a parent of another kind,
    ConflictError while a reply of this conversation is being written, NotFoundError without the conversation.
    """
    if not content.strip():
        raise HoneError("The message is empty.", todo="Type something first.")
    with store.transaction():
        _check_quiet(store, conversation_id)
        if parent_id is not None:
            parent = message(store, parent_id)
            if parent.conversation_id != conversation_id:
                raise NotFoundError("There is no such message in this conversation.")
            if parent.role != "assistant" or parent.hidden_from_chat:
                raise HoneError("A message can only follow a reply that is on show.")
        first = store.row("SELECT 1 FROM messages WHERE conversation_id = ? LIMIT 1", conversation_id) is None
        message_id = MessageId(new_id("m"))
        store.execute(
            "INSERT INTO messages (id, conversation_id, parent_id, role, content, created_at)"
            " VALUES (?,?,?,'user',?,?)",
            message_id,
            conversation_id,
            parent_id,
            content,
            now(),
        )
        if first:
            store.execute(
                "UPDATE conversations SET title = ? WHERE id = ? AND title = ?",
                one_line(content),
                conversation_id,
                NEW_TITLE,
            )
        _show(store, conversation_id, message_id)
    return message_id


def start_reply(store: Store, parent_id: MessageId, start: ReplyStart, hidden: bool = False) -> MessageId:
    """Open an empty reply with status `writing` under a user message, and put it on show unless hidden.

    Raises ConflictError while another reply on show of this conversation is being written, HoneError under a
    reply.
    """
    with store.transaction():
        parent = message(store, parent_id)
        if parent.role != "user":
            raise HoneError("A reply can only follow a person's message.")
        _check_quiet(store, parent.conversation_id)
        reply_id = MessageId(new_id("m"))
        store.execute(
            "INSERT INTO messages (id, conversation_id, parent_id, role, content, created_at, status,"
            " model_version_id, prompt_version_id, strategy, temperature, top_p, max_tokens, seed, engine,"
            " hidden_from_chat, chosen_because)"
            " VALUES (?, ?, ?, 'assistant', '', ?, 'writing', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            reply_id,
            parent.conversation_id,
            parent_id,
            now(),
            start.model_version_id,
            start.prompt_version_id,
            start.strategy,
            start.sampling.temperature,
            start.sampling.top_p,
            start.sampling.max_tokens,
            start.sampling.seed,
            start.engine,
            int(hidden),
            start.chosen_because,
        )
        if not hidden:
            _show(store, parent.conversation_id, reply_id)
    return reply_id


def add_given_reply(store: Store, parent_id: MessageId, content: str) -> MessageId:
    """Add a reply that no model of ours wrote: an earlier turn of a prompt that came from outside.

    Names no version.
    """
    with store.transaction():
        parent = message(store, parent_id)
        if parent.role != "user":
            raise HoneError("A reply can only follow a person's message.")
        reply_id = MessageId(new_id("m"))
        store.execute(
            "INSERT INTO messages (id, conversation_id, parent_id, role, content, created_at)"
            " VALUES (?, ?, ?, 'assistant', ?, ?)",
            reply_id,
            parent.conversation_id,
            parent_id,
            content,
            now(),
        )
        _show(store, parent.conversation_id, reply_id)
    return reply_id


def _check_quiet(store: Store, conversation_id: ConversationId) -> None:
    """The conversation is there, and no reply on show is being written in it.

    A program may ask for several at once in its own: nobody watches one leaf there.
    """
    row = store.row(
        "SELECT EXISTS (SELECT 1 FROM messages m WHERE m.conversation_id = c.id AND m.status = 'writing'"
        " AND m.hidden_from_chat = 0 AND c.origin <> 'api') AS busy"
        " FROM conversations c WHERE c.id = ? AND c.deleted_at IS NULL",
        conversation_id,
    )
    if row is None:
        raise NotFoundError("There is no such conversation.", "It was deleted.")
    if row["busy"]:
        raise ConflictError(
            "A reply is still being written in this conversation.", todo="Wait for it or stop it first."
        )


def _show(store: Store, conversation_id: ConversationId, leaf_id: MessageId) -> None:
    store.execute(
        "UPDATE conversations SET selected_leaf_id = ?, updated_at = ? WHERE id = ?",
        leaf_id,
        now(),
        conversation_id,
    )


def save_partials(store: Store, partials: Sequence[Partial]) -> int:
    """Keep what has been written so far, so that a killed server loses at most the last moment.

    One transaction for all. A reply that has ended meanwhile keeps its end. Returns how many were kept.
    """
    with store.transaction():
        return sum(
            store.execute(
                "UPDATE messages SET content = ?, reasoning = ?, trace_json = ?"
                " WHERE id = ? AND status = 'writing'",
                partial.content,
                partial.reasoning,
                _trace_json(partial.trace),
                partial.reply_id,
            )
            for partial in partials
        )


def finish_reply(store: Store, reply_id: MessageId, end: ReplyEnd) -> None:
    """Close a reply, once. Raises ConflictError when it was not being written."""
    with store.transaction():
        changed = store.execute(
            "UPDATE messages SET status = ?, content = ?, reasoning = ?, trace_json = ?, made_json = ?,"
            " prompt_text = ?, prompt_tokens = ?, reply_tokens = ?, dropped_turns = ?, duration_s = ?,"
            " ended = ?, error = ?"
            " WHERE id = ? AND status = 'writing'",
            end.status,
            end.content,
            end.reasoning,
            _trace_json(end.trace),
            json.dumps(end.made, ensure_ascii=False) if end.made else None,
            end.prompt_text,
            end.prompt_tokens,
            end.reply_tokens,
            end.dropped_turns,
            end.duration_s,
            int(end.ended and end.status == "complete"),
            end.error,
            reply_id,
        )
        if not changed:
            raise ConflictError("This reply is not being written.")
        store.execute(
            "UPDATE conversations SET updated_at = ?"
            " WHERE id = (SELECT conversation_id FROM messages WHERE id = ?)",
            now(),
            reply_id,
        )


def _trace_json(trace: Sequence[Any] | None) -> str | None:
    return json.dumps(list(trace), default=plain_json, ensure_ascii=False) if trace else None


PATH_SQL = f"""
WITH RECURSIVE up(id, parent_id, height) AS (
  SELECT id, parent_id, 0 FROM messages WHERE id = ?
  UNION ALL
  SELECT m.id, m.parent_id, up.height + 1 FROM up JOIN messages m ON m.id = up.parent_id
  LIMIT ?
)
SELECT {MESSAGE_COLUMNS} FROM up JOIN messages m ON m.id = up.id ORDER BY up.height DESC
"""  # noqa: S608
NO_LIMIT = -1


def path(store: Store, message_id: MessageId, last: int = NO_LIMIT) -> list[Message]:
    """From the root, or from `last` messages before the end, to this message, inclusive. NotFoundError."""
    messages = [message_of_row(row) for row in store.rows(PATH_SQL, message_id, last)]
    if not messages:
        raise NotFoundError("There is no such message.")
    return messages


def recover(store: Store) -> int:
    """Call once when the server starts: replies that a killed server left `writing` become `stopped`.

    Returns how many.
    """
    return store.execute(
        "UPDATE messages SET status = 'stopped', error = 'The server stopped while this reply was being"
        " written.'"
        " WHERE status = 'writing'"
    )
