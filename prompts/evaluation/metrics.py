"""What makes an answer right, each with its rule in words. Pure: texts in, scores out.

A reward model is a metric too; it is handed in, for nothing here knows a model.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from feedback.errors import HoneError
from prompts.answers import first_named, last_number, normal
from prompts.evaluation.items import ByRule, Item, Metric, Score
from prompts.evaluation.units import NATS, SHARE, Unit

REWARD = "reward"

Rewards = Callable[[str], Metric]
"""A reward model, by its name, as a metric. HoneError where there is none, or it cannot judge here."""

CONCLUSION = re.compile(r"(?:the\s+)?answer\s+(?:is|would be)\s*:?|answer\s*:|####", re.IGNORECASE)
"""What opens the conclusion of a text that thinks aloud; the last one counts."""


def conclusion(text: str) -> str:
    """What follows the last "answer is", "Answer:" or "####"; the whole text where nothing does."""
    found = list(CONCLUSION.finditer(text))
    after = text[found[-1].end() :] if found else ""
    return after if after.strip() else text


@dataclass(frozen=True)
class Exact(ByRule):
    name: str = "exact"
    rule: str = "The answer is the gold answer; case, blank space, and marks at both ends do not count."

    def score(self, said: str, item: Item) -> Score:
        return Score(float(normal(said) == normal(item.answer)), normal(said))


@dataclass(frozen=True)
class Choice(ByRule):
    name: str = "choice"
    rule: str = (
        'The option that the answer names first, as a whole word, is the gold one; after "answer is" or'
        ' "Answer:", if it says so. An option of one letter stands in capitals: alone, first, or in brackets.'
    )

    def score(self, said: str, item: Item) -> Score:
        read = named_option(conclusion(said), item.options) or named_option(said, item.options)
        return Score(float(read == item.answer and bool(read)), read)


def named_option(text: str, options: Sequence[str]) -> str:
    """The option that `text` names first, the longest where several begin there; "" for none."""
    if all(len(option) == 1 for option in options):
        return _letter(text, options)
    return first_named(text, options) or ""


def _letter(text: str, options: Sequence[str]) -> str:
    letters = "".join(re.escape(option) for option in options)
    # "A" opens many sentences: a letter that a word in small letters follows is an article.
    found = re.search(rf"\(([{letters}])\)|^\W*([{letters}])(?!\w|\s+[a-z])", text)
    return (found.group(1) or found.group(2)) if found else ""


@dataclass(frozen=True)
class Number(ByRule):
    name: str = "number"
    rule: str = (
        'The last number is the gold number: after "answer is", "Answer:" or "####" if the text says so, else'
        " in all of it. Commas and trailing zeros do not count."
    )

    def score(self, said: str, item: Item) -> Score:
        read = last_number(conclusion(said)) or last_number(said) or ""
        return Score(float(bool(read) and read == last_number(item.answer)), read)


@dataclass(frozen=True)
class Regex(ByRule):
    """`pattern`: Python's regular expressions; the person who runs the evaluation wrote it."""

    pattern: str
    name: str = "regex"

    @property
    def rule(self) -> str:
        return f"The regular expression {self.pattern} finds something in the answer."

    def score(self, said: str, item: Item) -> Score:
        found = re.search(self.pattern, said)
        return Score(float(found is not None), found.group(0) if found else "")


@dataclass(frozen=True)
class Length(ByRule):
    """`most`: words, at most."""

    most: int
    name: str = "length"

    @property
    def rule(self) -> str:
        return f"The answer has at least one word and at most {self.most}."

    def score(self, said: str, item: Item) -> Score:
        words = len(said.split())
        return Score(float(0 < words <= self.most), f"{words} words")


def no_rewards(model: str) -> Metric:
    """`Rewards` of whoever has none."""
    raise HoneError(f"The reward model {model} cannot be used here.", todo="Choose another metric.")


def named(spec: str, rewards: Rewards = no_rewards) -> Metric:
    """The metric that `spec` names: exact, choice, number, ifeval, regex:PATTERN, length:WORDS,
    json-schema:FILE or reward:RUN. HoneError for another, and for one that cannot be used.
    """
    name, _, more = spec.partition(":")
    simple: dict[str, Metric] = {"exact": Exact(), "choice": Choice(), "number": Number()}
    if name in simple and not more:
        return simple[name]
    if name == "ifeval" and not more:
        from prompts.evaluation import instructions

        instructions.check_installed()
        return instructions.Instructions()
    if name == "regex" and more:
        return _regex(more)
    if name == "length" and more.isdigit() and int(more) > 0:
        return Length(int(more))
    if name == "json-schema" and more:
        from prompts.evaluation.schema_metric import JsonSchema

        return JsonSchema.of(Path(more).expanduser())
    if name == REWARD and more:
        return rewards(more)
    raise HoneError(
        f"There is no metric {spec!r}.",
        "Known are exact, choice, number, ifeval, regex:PATTERN, length:WORDS, json-schema:FILE and"
        " reward:RUN.",
        "Choose one of these.",
    )


def unit_of(spec: str) -> Unit:
    """In what the metric that `spec` names counts; known without opening it."""
    return NATS if spec.partition(":")[0] == REWARD else SHARE


def _regex(pattern: str) -> Regex:
    try:
        re.compile(pattern)
    except re.error as error:
        raise HoneError(
            f"The regular expression {pattern!r} cannot be read.", f"{error}.".capitalize(), "Mend it."
        ) from error
    return Regex(pattern)


def suited(items: Sequence[Item]) -> Metric:
    """What the gold answers ask for: the choice where all items have options, the number where all gold
    answers are numbers, else an exact match. HoneError where there are no gold answers.
    """
    if not all(item.answer for item in items):
        raise HoneError(
            "The data have no gold answers.",
            "So nothing says what is right.",
            "Give --answer, or a --metric that needs none, such as regex:PATTERN or reward:RUN.",
        )
    if all(item.options for item in items):
        return Choice()
    if all(last_number(item.answer) == normal(item.answer).replace(",", "") for item in items):
        return Number()
    return Exact()
