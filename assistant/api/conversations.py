"""Conversations: list, search, make, rename, delete, read; and sending a message."""

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Query

from assistant.api import shapes
from assistant.api.answers import (
    Begun,
    BegunConversation,
    ListedConversation,
    ReadConversation,
    Thread,
)
from assistant.api.bodies import Edit, NewConversation, NewMessage, Rename
from assistant.api.context import Chatter, Parts
from assistant.api.replies import begun
from feedback import conversations
from feedback.conversations import NEW_TITLE
from feedback.ids import ConversationId, MessageId

router = APIRouter(tags=["Chatter"])


@dataclass(frozen=True)
class Conversations:
    conversations: tuple[ListedConversation, ...]


@dataclass(frozen=True)
class DeletedConversation:
    deleted: ConversationId


@dataclass(frozen=True)
class SelectedMessage:
    selected: MessageId
    thread: Thread


@router.get("/conversations")
def listing(
    parts: Parts,
    user: Chatter,
    search: Annotated[str, Query(max_length=200)] = "",
    origin: Literal["chat", "api"] = "chat",
) -> Conversations:
    """One's own conversations, latest first; with `search`, those whose title or text has it.

    `origin`: those of the chat page, or those that one's programs hold through /v1.
    """
    found = conversations.listing(parts.store, user.id, search, origin)
    return Conversations(tuple(shapes.listed(one) for one in found))


@router.post("/conversations", status_code=201)
def create(parts: Parts, user: Chatter, body: NewConversation) -> ListedConversation | BegunConversation:
    """A new conversation; with a `message`, its reply is begun too, as by /conversations/ID/messages."""
    if body.message is None:
        made = conversations.create(parts.store, user.id, title=body.title)
        return shapes.listed(conversations.get(parts.store, user.id, made))
    first = body.message
    reply_id = parts.turns.send(user.id, None, first.parent_id, first.content, first.settings.turn())
    made = conversations.message(parts.store, reply_id).conversation_id
    if body.title != NEW_TITLE:
        conversations.rename(parts.store, user.id, made, body.title)
    listed = shapes.listed(conversations.get(parts.store, user.id, made))
    return BegunConversation(**vars(listed) | vars(begun(parts, user, reply_id, last=2)))


@router.get("/conversations/{conversation_id}")
def read(
    parts: Parts,
    user: Chatter,
    conversation_id: ConversationId,
    last: Annotated[int, Query(ge=1)] | None = None,
    before: MessageId | None = None,
) -> ReadConversation:
    """The thread along the selected branches. `last`: only so many messages at its end; `before`: only what
    stands before this message.
    """
    found = conversations.get(parts.store, user.id, conversation_id)
    limit = conversations.NO_LIMIT if last is None else last
    items = conversations.thread(parts.store, conversation_id, limit, before)
    return ReadConversation(**vars(shapes.listed(found)), thread=shapes.thread(parts.turns, user.id, items))


@router.patch("/conversations/{conversation_id}")
def rename(parts: Parts, user: Chatter, conversation_id: ConversationId, body: Rename) -> ListedConversation:
    """Give one's conversation another title."""
    conversations.rename(parts.store, user.id, conversation_id, body.title)
    return shapes.listed(conversations.get(parts.store, user.id, conversation_id))


@router.delete("/conversations/{conversation_id}")
def delete(parts: Parts, user: Chatter, conversation_id: ConversationId) -> DeletedConversation:
    """Take a conversation away; a reply that is being written in it is stopped."""
    items = conversations.thread(parts.store, conversation_id)
    conversations.delete(parts.store, user.id, conversation_id)
    for item in items:
        parts.turns.stop(item.message.id)
    return DeletedConversation(conversation_id)


@router.post("/conversations/{conversation_id}/messages", status_code=202)
def send(parts: Parts, user: Chatter, conversation_id: ConversationId, body: NewMessage) -> Begun:
    """Say something; its reply is begun and can be watched under /api/replies/ID/events. The answer's
    `thread` is the new message and its reply.
    """
    reply_id = parts.turns.send(user.id, conversation_id, body.parent_id, body.content, body.settings.turn())
    return begun(parts, user, reply_id, last=2)


@router.post("/messages/{message_id}/edit", status_code=202)
def edit(parts: Parts, user: Chatter, message_id: MessageId, body: Edit) -> Begun:
    """Ask again in other words, as a branch."""
    reply_id = parts.turns.edit(user.id, message_id, body.content, body.settings.turn())
    return begun(parts, user, reply_id, last=2)


@router.post("/messages/{message_id}/select")
def select(parts: Parts, user: Chatter, message_id: MessageId) -> SelectedMessage:
    """Put the branch with this message on show. The answer's `thread` is what is on show from it on."""
    message = parts.turns.owned(user.id, message_id)
    conversations.select(parts.store, message.conversation_id, message_id)
    items = conversations.thread(parts.store, message.conversation_id)
    start = next(place for place, item in enumerate(items) if item.message.id == message_id)
    return SelectedMessage(message_id, shapes.thread(parts.turns, user.id, items[start:]))
