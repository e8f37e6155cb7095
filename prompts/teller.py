"""Who answers, as running a strategy sees it: one protocol, and what is asked of it. Knows no engine.

An engine behind a chat turn implements it (`assistant.teller`), so does an evaluation, and so does a stand-in
in a test.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from prompts.chat import ChatTemplate


@dataclass(frozen=True)
class Ask:
    """One text that is wanted of the model.

    `prompt_text`: exactly what it reads. `max_tokens`: the most it may write. `temperature`: the step's own;
    None: the person's. `draw`: each number draws with another seed. `final`: this is the answer, so what a
    program wished of the reply (stop texts, a schema) holds.
    """

    prompt_text: str
    max_tokens: int
    temperature: float | None = None
    draw: int = 0
    final: bool = False


class Teller(Protocol):
    """One model version with the person's sampling settings."""

    @property
    def template(self) -> ChatTemplate: ...

    @property
    def window(self) -> int:
        """Tokens that prompt and reply may take together."""
        ...

    @property
    def max_tokens(self) -> int:
        """The person's limit on a reply's tokens."""
        ...

    @property
    def system_text(self) -> str:
        """What stands before everything else in each prompt, from a program that asks; "" for none."""
        ...

    @property
    def stopped(self) -> bool:
        """True once the person has stopped this reply: nothing further is asked."""
        ...

    def count_tokens(self, text: str) -> int: ...

    def generate(self, ask: Ask) -> Iterator[str]:
        """The text piece by piece; ends early when stopped."""
        ...

    def sample(self, asks: Sequence[Ask]) -> Iterator[tuple[int, str | None]]:
        """The texts of all `asks`, written side by side: (which, its next piece) as they come, and
        (which, None) when that one is whole. All end early when stopped.
        """
        ...
