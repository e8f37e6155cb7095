"""A second reply beside the first, blind: whoever votes sees neither names nor which was first.

Knows no page.

While a trial of its strategy runs, the second reply is by another version of the trial: such votes are what
tells the versions apart. Where `auto` chose the strategy, the second is by zero-shot, or, beside zero-shot,
by another: such votes are what `auto` chooses by.

The second reply is hidden from the conversation until there is a vote; left and right are drawn by lot and
stored.
"""

from dataclasses import replace

from assistant.turns import DEFAULT_STRATEGY, Turns, TurnSettings
from feedback import comparisons
from feedback.conversations import Message, Sampling
from feedback.errors import ConflictError
from feedback.ids import MessageId, UserId
from prompts import auto, library, service


def settings_of(reply: Message) -> TurnSettings:
    """The settings that wrote `reply`, with a fresh seed."""
    drawn = Sampling()
    sampling = replace(
        drawn,
        temperature=drawn.temperature if reply.temperature is None else reply.temperature,
        top_p=drawn.top_p if reply.top_p is None else reply.top_p,
        max_tokens=drawn.max_tokens if reply.max_tokens is None else reply.max_tokens,
        seed=None,
    )
    return TurnSettings(reply.strategy or DEFAULT_STRATEGY, sampling)


def start(turns: Turns, user_id: UserId, reply_id: MessageId) -> str:
    """Begin a second reply to the same question, written the same way or by a rival; returns the comparison's
    id.

    ConflictError unless the first reply is finished and says something, and while another is being written.
    """
    first = turns.owned(user_id, reply_id)
    if first.status not in ("complete", "stopped") or not first.content.strip():
        raise ConflictError("Only a finished reply can be compared.", todo="Wait for it, or regenerate it.")
    settings = settings_of(first)
    rival = service.rival_for(turns.store, settings.strategy, first.prompt_version_id, reply_id)
    if rival is None and first.chosen_because:
        names = library.names(turns.store)
        settings = replace(settings, strategy=auto.rival_of(settings.strategy, names, reply_id))
    second_id = turns.redraw(user_id, reply_id, replace(settings, prompt_version=rival), hidden=True)
    return comparisons.open_pair(turns.store, user_id, reply_id, second_id)  # draws left and right by lot
