"""Service: which version answers, and putting another in its place. The one door to production for all rooms.

Knows labels and trials; no model. Whether somebody may is asked by whoever offers it: page, route, command.
"""

from dataclasses import dataclass

from feedback.errors import ConflictError
from feedback.ids import ConversationId, MessageId, PromptVersionId, TrialId, UserId
from feedback.store import Store
from prompts import auto, labels, library, trials
from prompts.library import PromptVersion
from prompts.plain import AUTO, ZERO_SHOT


@dataclass(frozen=True)
class Served:
    """What a move did. `version_id` None: nothing of `name` is in production any more."""

    name: str
    before: PromptVersionId | None
    version_id: PromptVersionId | None
    ended_trial: TrialId | None


@dataclass(frozen=True)
class Offered:
    """What a chat may ask for by name."""

    name: str
    title: str
    description: str


def offered(store: Store) -> list[Offered]:
    """The strategies that serve, zero-shot first, and after it `auto`, which is none of them."""
    found = library.serving(store)
    shown = [Offered(one.name, one.strategy.title, one.strategy.description) for one in found]
    place = 1 if shown and shown[0].name == ZERO_SHOT else 0
    return [*shown[:place], Offered(AUTO, auto.TITLE, auto.DESCRIPTION), *shown[place:]]


def version_for(store: Store, name: str, conversation_id: ConversationId) -> PromptVersion:
    """The version of `name` that answers in this conversation: a trial's arm, else the one in production.

    Raises NotFoundError for a strategy that is not in production.
    """
    trial = trials.running(store, name)
    if trial is None:
        return library.production(store, name)
    return library.get(store, trials.arm_of(trial, conversation_id))


def rival_for(
    store: Store, name: str, version_id: PromptVersionId | None, reply_id: MessageId
) -> PromptVersionId | None:
    """While a trial of `name` runs: whom to set against a reply of one of its versions. Else None."""
    trial = trials.running(store, name)
    if trial is None or version_id is None:
        return None
    return trials.rival_of(trial, version_id, reply_id)


def put(store: Store, user_id: UserId, version_id: PromptVersionId, note: str = "") -> Served:
    """Put a version in production, from the next reply on. A trial of its strategy ends: it has been decided.

    ConflictError when it is in production already and there is no trial to end; NotFoundError.
    """
    with store.transaction():
        name = labels.name_of(store, version_id)
        library.get(store, version_id)  # a version that cannot be read any more must not answer
        before, ended = labels.in_production(store, name), trials.stop_if_running(store, user_id, name)
        if before == version_id and ended is None:
            raise ConflictError(f"{version_id} is in production already.", todo="Nothing needs to be done.")
        if before != version_id:
            labels.put(store, user_id, version_id, note)
        return Served(name, before, version_id, ended.id if ended else None)


def go_back(store: Store, user_id: UserId, name: str, note: str = "") -> Served:
    """Take back the last move that still stands (see `labels.go_back`). A trial ends with it."""
    with store.transaction():
        ended = trials.stop_if_running(store, user_id, name)
        before, after = labels.go_back(store, user_id, name, note)
        return Served(name, before, after, ended.id if ended else None)
