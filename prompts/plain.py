"""How training and evaluation put a pair's prompt: as a chat does, by the same template. Knows no store."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from feedback.conversations import Turn
from feedback.errors import HoneError
from prompts.chat import ChatMessage, with_system
from prompts.strategy import Strategy, load

SHIPPED = Path(__file__).parent / "templates"
"""The strategies that come with Hone. Read-only."""

ZERO_SHOT = "zero-shot"

AUTO = "auto"
"""Names no template: whoever asks for it leaves the strategy to `prompts.auto`."""


@lru_cache(maxsize=1)
def shipped() -> dict[str, Strategy]:
    """The shipped strategies by name."""
    return load(SHIPPED)


def plain_messages(
    turns: Sequence[Turn], strategy: Strategy | None = None, system_text: str = ""
) -> list[ChatMessage]:
    """The messages of a prompt whose last turn is the user's, after a caller's `system_text`.

    `strategy` is one step, usually the production version of zero-shot; without one, the shipped zero-shot.
    Raises HoneError when the prompt does not end with a question, or the strategy is a chain.
    """
    chosen = strategy or shipped()[ZERO_SHOT]
    if not turns or turns[-1].role != "user":
        raise HoneError("This prompt cannot be rendered.", "Its last turn is not the user's.")
    if len(chosen.steps) != 1:
        raise HoneError(
            f"Training cannot use the strategy {chosen.name}.",
            "It asks the model more than once.",
            "Choose a strategy of one step.",
        )
    return with_system(chosen.steps[0].messages(turns[-1].content, turns[:-1]), system_text)
