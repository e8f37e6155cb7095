"""The formats of public benchmarks: which fields they have, how they are asked, what is right.

Pure: rows in, questions and gold answers out. Each format names the fields that public copies of its set use;
a person may put the question in other words with a template of their own.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from prompts.evaluation.rows import Row

Judge = Literal["gold", "number", "ifeval"]
"""What makes an answer right; `gold`: what suits the gold answers, see `metrics.suited`."""

NOTHING = ("N/A", "[MASK]", "")
"""The content-free texts of contextual calibration (Zhao et al. 2021, section 5)."""


class RowError(Exception):
    """What is wrong with a row. Never leaves this package."""


@dataclass(frozen=True)
class Gold:
    """What is right, and what is chosen between. `worked`: the way to it. `extra`: for the metric."""

    answer: str
    options: tuple[str, ...] = ()
    worked: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Format:
    """How one benchmark's rows become items.

    `question`: Jinja over what `fields` gives of a row. `content`: those of them that are the item itself,
    which contextual calibration empties. `columns`: of tables without a header. `shown`: rows of examples
    from a row of another shape, in which some sets publish theirs.
    """

    name: str
    title: str
    question: str
    judge: Judge
    fields: Callable[[Row], dict[str, Any]]
    gold: Callable[[Row], Gold]
    content: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    shown: Callable[[Row], list[Row]] = lambda row: [row]


def text(row: Row, *names: str) -> str:
    """The first of these fields that the row has, as text. RowError when it has none."""
    for name in names:
        if name in row and row[name] is not None:
            return str(row[name])
    raise RowError(f"it has none of the fields {', '.join(names)}; it has {', '.join(sorted(row))}")


def _gsm8k_gold(row: Row) -> Gold:
    """The answer stands after ####; <<48/2=24>> are notes for a calculator, which nobody should learn."""
    worked, found, final = text(row, "answer").partition("####")
    if not found:
        raise RowError("its answer has no ####")
    return Gold(final.strip().replace(",", ""), worked=re.sub(r"<<[^>]*>>", "", worked).strip())


def _label(row: Row, labels: Sequence[str], first: int) -> str:
    """The name of a row's label: a number that counts from `first`, or the name itself in any case."""
    given = text(row, "label", "label_name", "sentiment", "class").strip()
    if given.isdigit() and first <= int(given) < first + len(labels):
        return labels[int(given) - first]
    found = next((label for label in labels if label.lower() == given.lower()), None)
    if found is None:
        raise RowError(f"its label is {given!r}, not one of {', '.join(labels)} or their numbers")
    return found


SENTIMENTS = ("negative", "positive")
LETTERS = ("A", "B", "C", "D")
TOPICS = ("World", "Sports", "Business", "Sci/Tech")


def _topic(row: Row) -> Gold:
    # The published table counts from 1 and calls the column class; most other copies count from 0.
    return Gold(_label(row, TOPICS, 1 if "class" in row else 0), TOPICS)


def _choices(row: Row) -> list[str]:
    found = row["choices"] if isinstance(row.get("choices"), list) else [text(row, one) for one in LETTERS]
    if len(found) != len(LETTERS):
        raise RowError(f"it has {len(found)} choices where {len(LETTERS)} belong")
    return [str(choice) for choice in found]


def _letter(row: Row) -> str:
    given = text(row, "answer").strip()
    answer = LETTERS[int(given)] if given in ("0", "1", "2", "3") else given.upper()
    if answer not in LETTERS:
        raise RowError(f"its answer is {given!r}, not one of {', '.join(LETTERS)}")
    return answer


def _bbh_gold(row: Row) -> Gold:
    answer, asked = text(row, "target").strip(), text(row, "input")
    letters = tuple(re.findall(r"^\(([A-Z])\)", asked, re.MULTILINE))
    worked = str(row.get("worked", ""))
    if letters and answer.strip("()") in letters:
        return Gold(answer.strip("()"), letters, worked)
    listed = tuple(re.findall(r"^- (.+)$", asked, re.MULTILINE))
    if answer in listed:
        return Gold(answer, listed, worked)
    return Gold(answer, next((pair for pair in _PAIRS if answer in pair), ()), worked)


def _bbh_shown(row: Row) -> list[Row]:
    """The examples in one of the published chain-of-thought prompts; a row of the task itself as it is."""
    if "input" in row:
        return [row]
    blocks = text(row, "prompt", "text").split("\n\nQ: ")[1:]
    return [_bbh_example(block, row) for block in blocks]


def _bbh_example(block: str, row: Row) -> Row:
    asked, _, worked = block.partition("\nA:")
    worked = worked.removeprefix(" Let's think step by step.").strip()
    steps, found, answer = worked.rpartition("So the answer is ")
    if not found:
        raise RowError('an example of its prompt has no "So the answer is"')
    return {"task": row.get("task"), "input": asked, "target": answer.rstrip(" ."), "worked": steps.strip()}


_PAIRS = (("True", "False"), ("Yes", "No"), ("yes", "no"), ("valid", "invalid"))
"""The answers of the tasks whose questions do not list them."""


def _ifeval_gold(row: Row) -> Gold:
    wanted = {"prompt": row.get("prompt"), "ids": row.get("instruction_id_list"), "kwargs": row.get("kwargs")}
    if not wanted["ids"] or wanted["kwargs"] is None:
        raise RowError("it has no instruction_id_list, or no kwargs")
    return Gold("", extra=wanted)


FORMATS = {
    one.name: one
    for one in (
        Format(
            "gsm8k", "GSM8K: sums in words", "{{ question }}", "number",
            lambda row: {"question": text(row, "question")}, _gsm8k_gold,
        ),
        Format(
            "bbh", "BIG-Bench Hard", "{{ input }}", "gold",
            lambda row: {"input": text(row, "input")}, _bbh_gold, ("input",), shown=_bbh_shown,
        ),
        Format(
            "sst2", "SST-2: good or bad reviews",
            "Is this movie review positive or negative?\n\nReview: {{ text }}", "gold",
            lambda row: {"text": text(row, "text", "sentence").strip()},
            lambda row: Gold(_label(row, SENTIMENTS, 0), SENTIMENTS), ("text",),
        ),
        Format(
            "ag-news", "AG News: topics",
            "Is this news about World, Sports, Business or Sci/Tech?\n\nNews: {{ text }}", "gold",
            lambda row: {"text": ". ".join(
                part for part in (row.get("title"), text(row, "text", "description")) if part)},
            _topic, ("text",), ("class", "title", "description"),
        ),
        Format(
            "mmlu", "MMLU: questions with four answers",
            "{{ question }}\nA. {{ A }}\nB. {{ B }}\nC. {{ C }}\nD. {{ D }}\nAnswer with one letter.", "gold",
            lambda row: {"question": text(row, "question"), **dict(zip(LETTERS, _choices(row), strict=True))},
            lambda row: Gold(_letter(row), LETTERS),
            ("question", *LETTERS), ("question", *LETTERS, "answer"),
        ),
        Format(
            "ifeval", "IFEval: instructions that a program can check", "{{ prompt }}", "ifeval",
            lambda row: {"prompt": text(row, "prompt")}, _ifeval_gold,
        ),
    )
}  # fmt: skip
