"""What of a conversation's tree is on show: the path to its selected leaf, and the choice of another branch.

Hidden replies (drawn for a blind comparison) are in the tree, but not on show. Knows no page. Rooms call
these through `feedback.conversations`.
"""

from feedback.errors import NotFoundError
from feedback.ids import ConversationId, MessageId
from feedback.message import ThreadItem
from feedback.store import Store
from feedback.tree import NO_LIMIT, message, path


def thread(
    store: Store, conversation_id: ConversationId, last: int = NO_LIMIT, before: MessageId | None = None
) -> list[ThreadItem]:
    """What is on show, root first: the path to the selected (else the latest) leaf, with branches.

    `last`: only so many at its end. `before`: only what stands before this message of the conversation.
    """
    leaf_id = _selected_leaf(store, conversation_id)
    if before is not None:
        later = message(store, before)
        if later.conversation_id != conversation_id:
            raise NotFoundError("There is no such message in this conversation.")
        leaf_id = later.parent_id
    if leaf_id is None:
        return []
    branches: dict[MessageId | None, list[MessageId]] = {}
    on_show = path(store, leaf_id, last)
    for row in store.rows(
        "SELECT id, parent_id FROM messages WHERE conversation_id = ? AND hidden_from_chat = 0"
        " ORDER BY rowid",
        conversation_id,
    ):
        branches.setdefault(row["parent_id"], []).append(row["id"])
    return [
        ThreadItem(item, tuple(branches[item.parent_id]), branches[item.parent_id].index(item.id))
        for item in on_show
    ]


def _selected_leaf(store: Store, conversation_id: ConversationId) -> MessageId | None:
    row = store.row(
        "SELECT coalesce(c.selected_leaf_id, (SELECT m.id FROM messages m WHERE m.conversation_id = c.id"
        " AND m.hidden_from_chat = 0"
        " ORDER BY m.rowid DESC LIMIT 1)) AS id FROM conversations c WHERE c.id = ?",
        conversation_id,
    )
    return row["id"] if row else None


def select(store: Store, conversation_id: ConversationId, message_id: MessageId) -> None:
    """Put a branch on show: the path through this message down to the latest message under it."""
    with store.transaction():
        chosen = message(store, message_id)
        if chosen.conversation_id != conversation_id or chosen.hidden_from_chat:
            raise NotFoundError("There is no such message in this conversation.")
        latest = store.rows(
            "WITH RECURSIVE down(id, n) AS (SELECT id, rowid FROM messages WHERE id = ? UNION ALL"
            " SELECT m.id, m.rowid FROM down JOIN messages m ON m.parent_id = down.id"
            " WHERE m.hidden_from_chat = 0)"
            " SELECT id FROM down ORDER BY n DESC LIMIT 1",
            message_id,
        )[0]["id"]
        store.execute("UPDATE conversations SET selected_leaf_id = ? WHERE id = ?", latest, conversation_id)


def reveal(store: Store, reply_id: MessageId) -> None:
    """Make a hidden reply a branch like any other. It does not change what is on show."""
    if not store.execute(
        "UPDATE messages SET hidden_from_chat = 0 WHERE id = ? AND role = 'assistant'", reply_id
    ):
        raise NotFoundError("There is no such reply.")
