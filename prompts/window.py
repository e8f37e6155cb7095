"""Fits a prompt into a model's window: examples go first, then the oldest exchanges. Knows no model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from feedback.errors import HoneError
from prompts.chat import ChatMessage, ChatTemplate


class TooLongError(HoneError):
    """The question alone does not fit the model's window."""


@dataclass(frozen=True)
class Fitted:
    """`text`: the prompt as the model gets it. `dropped_turns`: messages left out; an exchange is two."""

    text: str
    prompt_tokens: int
    dropped_turns: int


def fit_examples(
    messages_with: Callable[[int], Sequence[ChatMessage]],
    most: int,
    template: ChatTemplate,
    count_tokens: Callable[[str], int],
    budget: int,
) -> tuple[int, Fitted]:
    """As many examples as fit in `budget` tokens beside the whole conversation, and the prompt.

    `messages_with(n)`: the messages with n of the `most` examples. Where even none leaves too little room,
    turns are dropped as `fit` does. Raises HoneError as `fit` does.
    """

    def whole(count: int) -> Fitted:
        text = template.text(messages_with(count))
        return Fitted(text, count_tokens(text), 0)

    best, fitted = most, whole(most)
    if fitted.prompt_tokens <= budget:
        return best, fitted
    if not most or (fitted := whole(0)).prompt_tokens > budget:
        return 0, fit(messages_with(0), template, count_tokens, budget)
    best, too_many = 0, most
    while too_many - best > 1:
        middle = (best + too_many) // 2
        candidate = whole(middle)
        if candidate.prompt_tokens <= budget:
            best, fitted = middle, candidate
        else:
            too_many = middle
    return best, fitted


def fit(
    messages: Sequence[ChatMessage], template: ChatTemplate, count_tokens: Callable[[str], int], budget: int
) -> Fitted:
    """The longest recent part of the conversation whose prompt takes at most `budget` tokens.

    Only messages marked `earlier` are dropped, oldest first, a question always together with its reply; all
    others and the question stay. Raises HoneError when even these alone are too long.
    Counts once when all fits, else about log2(exchanges) times more.
    """
    exchanges = _exchanges(messages)

    def without(dropped: int) -> Fitted:
        gone = {index for exchange in exchanges[:dropped] for index in exchange}
        text = template.text([message for index, message in enumerate(messages) if index not in gone])
        return Fitted(text, count_tokens(text), len(gone))

    whole = without(0)
    if whole.prompt_tokens <= budget:
        return whole
    best = without(len(exchanges)) if exchanges else whole
    if best.prompt_tokens > budget:
        raise TooLongError(
            "This message is too long for the model.",
            f"Alone it takes {best.prompt_tokens} tokens, and the model has {max(budget, 0)} for it.",
            "Shorten it, lower the reply's max tokens, or choose a strategy with a shorter prompt.",
        )
    too_few, enough = 0, len(exchanges)
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        candidate = without(middle)
        if candidate.prompt_tokens <= budget:
            enough, best = middle, candidate
        else:
            too_few = middle
    return best


def prompt_budget(max_tokens: int, window: int) -> int:
    """Tokens that a prompt may take when its reply may take `max_tokens`. A limit is not a wish: who allows
    very long replies still gets half the window for the conversation.
    """
    return window - min(max_tokens, window // 2)


def _exchanges(messages: Sequence[ChatMessage]) -> list[list[int]]:
    """The indexes of the earlier messages, oldest first, grouped so that each group opens with a question."""
    groups: list[list[int]] = []
    for index, message in enumerate(messages):
        if message.earlier:
            if message.role == "user" or not groups:
                groups.append([])
            groups[-1].append(index)
    return groups
