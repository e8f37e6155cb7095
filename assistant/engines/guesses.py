"""Prompt lookup: guesses at a reply's next tokens, and how many of them are worth their time.

A guess that is right saves a step; one that is wrong cost what a token more in a step costs. Both are
measured while replies are written: the first differs from text to text, the second from CPU to CPU (a
twentieth of a step with bfloat16 arithmetic, a quarter without).
"""

from collections.abc import Sequence

NGRAM = 3
MOST_GUESSES = 7
TRY_AGAIN_TOKENS = 24
FIRST_CHANCE = 0.8
"""How likely a guess is held to be right before any was tried."""
FORGET = 0.3
"""Weight of what was seen last, against all that was seen before."""


class StepCost:
    """What one more token costs, as a share of a step that computes one token for each reply."""

    def __init__(self) -> None:
        self.share = 0.1
        self._plain: dict[int, float] = {}  # replies side by side -> seconds of a step without guesses

    def seen(self, replies: int, guesses: int, seconds: float) -> None:
        """A step for `replies` with so many `guesses` in all, and no prompt to read, took `seconds`."""
        plain = self._plain.get(replies)
        if guesses == 0:
            self._plain[replies] = seconds if plain is None else _blend(plain, seconds)
        elif plain is not None:
            self.share = _blend(self.share, min(1.0, max(0.0, seconds / plain - 1) / guesses))


class Guesses:
    """For one reply: what followed the last three tokens when they stood together before (after Saxena 2023,
    https://github.com/apoorvumang/prompt-lookup-decoding).
    """

    def __init__(self, tokens: Sequence[int]) -> None:
        self._after: dict[tuple[int, ...], int] = {}  # three tokens -> the place after them, the latest
        self._chance = FIRST_CHANCE
        self._rest = 0
        for end in range(NGRAM, len(tokens)):
            self._after[tuple(tokens[end - NGRAM : end])] = end

    def learn(self, tokens: Sequence[int]) -> None:
        """A token was added: what stood before it now has a successor."""
        end = len(tokens) - 1
        if end >= NGRAM:
            self._after[tuple(tokens[end - NGRAM : end])] = end

    def after(self, tokens: Sequence[int], share: float) -> list[int]:
        """As many guesses as are worth it when each costs `share` of a step; perhaps none. Where none is, one
        is tried now and then: chance and cost may have changed.
        """
        self._rest = max(0, self._rest - 1)
        place = self._after.get(tuple(tokens[-NGRAM:]))
        if place is None or self._rest:
            return []
        count = worthwhile(self._chance, share)
        if count == 0:
            self._rest = TRY_AGAIN_TOKENS
            count = 1
        return list(tokens[place : place + count])

    def judge(self, right: int, guessed: int) -> None:
        """So many of the guesses were right; the first that was not is the last that says anything."""
        for place in range(min(right + 1, guessed)):
            self._chance = _blend(self._chance, float(place < right))


def worthwhile(chance: float, share: float) -> int:
    """How many guesses give the most tokens a second, where each is right with `chance` once those before it
    were, and each costs `share` of a step (Leviathan et al. 2023, https://arxiv.org/abs/2211.17192, section
    3.3).
    """
    best, best_speed = 0, 1.0
    tokens = 1.0
    for count in range(1, MOST_GUESSES + 1):
        tokens += chance**count
        speed = tokens / (1 + share * count)
        if speed > best_speed:
            best, best_speed = count, speed
    return best


def _blend(before: float, seen: float) -> float:
    return (1 - FORGET) * before + FORGET * seen
