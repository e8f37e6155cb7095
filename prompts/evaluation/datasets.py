"""Datasets from files: `FORMAT:FILE`, or `FORMAT:FILE#PART` for one task of several.

Knows formats and files; no model. What stands in a file is data: it is never read as a template.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from feedback.canonical import canonical_json
from feedback.errors import HoneError
from prompts.evaluation import metrics, rows, texts
from prompts.evaluation.formats import FORMATS, NOTHING, Format, Gold, RowError
from prompts.evaluation.items import Dataset, Item, Metric
from prompts.evaluation.metrics import Rewards, no_rewards
from prompts.evaluation.rows import Row

PLAIN = ("jsonl", "csv")
"""The formats whose questions and answers a person words."""

PARTS = ("task", "subject", "category")
"""The fields that divide a file into parts; the first that a row has counts."""


@dataclass(frozen=True)
class Source:
    """Where data lie. `part`: the task or subject that is wanted of a file that holds several; "": all."""

    format: str
    file: Path
    part: str = ""

    @property
    def name(self) -> str:
        return f"{self.format}:{self.file.name}" + (f"#{self.part}" if self.part else "")


@dataclass(frozen=True)
class Wording:
    """How a person words the items, in Jinja over the fields of a row. `question` and `answer` "": as the
    format has them. `options`: what is chosen between. `metric`: what is right, as `metrics.named` reads it;
    "": as the format has it.
    """

    question: str = ""
    answer: str = ""
    options: tuple[str, ...] = ()
    metric: str = ""


def source(written: str) -> Source:
    """`FORMAT:FILE#PART`, read. HoneError for another shape or an unknown format."""
    name, colon, rest = written.partition(":")
    if not colon or name not in (*FORMATS, *PLAIN):
        raise HoneError(
            f"{written!r} names no data.",
            f"It must be FORMAT:FILE, where FORMAT is one of {', '.join((*FORMATS, *PLAIN))}.",
            "For example sst2:dev.jsonl, or bbh:bbh.jsonl#navigate.",
        )
    file, _, part = rest.rpartition("#") if "#" in rest else (rest, "", "")
    return Source(name, Path(file).expanduser(), part)


def load(
    asked: Source,
    shown: Source | None = None,
    wording: Wording = Wording(),
    limit: int | None = None,
    rewards: Rewards = no_rewards,
) -> Dataset:
    """The dataset in `asked`, at most `limit` items of it, with examples from `shown`. A question that is
    asked is never shown: such examples are left out. HoneError for files and rows that cannot be used.
    """
    form = _worded(asked, wording)
    found = _rows(asked, form)
    content = _content_free(form, found[0], asked)
    items = _items(found, asked, form, wording, examples=False)
    train: tuple[Item, ...] = ()
    if shown is not None:
        their_form = _worded(shown, wording)
        train = _items(_rows(shown, their_form), shown, their_form, wording, examples=True)
    kept = Dataset(asked.name, items, _judge(form, wording, items, rewards), (), content).limited(limit)
    questions = {item.question for item in kept.items}
    return replace(kept, train=tuple(item for item in train if item.question not in questions))


def _worded(asked: Source, wording: Wording) -> Format:
    """The format in the person's words."""
    if asked.format in FORMATS:
        form = FORMATS[asked.format]
        return replace(form, question=wording.question or form.question)
    if not wording.question:
        raise HoneError(
            f"{asked.name} has no question.",
            "Plain files do not say which field is asked.",
            "Give --question and --answer, such as --question '{{ text }}' --answer '{{ label }}'.",
        )

    def gold(row: Row) -> Gold:
        where = f"a row of {asked.file.name}"
        answer = texts.render(wording.answer, row, where) if wording.answer else ""
        return Gold(answer, wording.options)

    named = texts.fields(wording.question)
    return Format(asked.format, asked.format, wording.question, "gold", dict, gold, content=named)


def _items(
    read: Sequence[Row], asked: Source, form: Format, wording: Wording, *, examples: bool
) -> tuple[Item, ...]:
    found: list[Item] = []
    ids: Counter[str] = Counter()
    for number, row in enumerate(read, 1):
        where = f"row {number} of {asked.file.name}"
        for shown in _checked(form.shown, row, where) if examples else [row]:
            item = _item(form, shown, where, wording)
            ids[item.id] += 1
            again = f"-{ids[item.id]}" if ids[item.id] > 1 else ""
            found.append(replace(item, id=(item.id or f"{asked.file.stem}-{number}") + again))
    return tuple(found)


def _item(form: Format, row: Row, where: str, wording: Wording) -> Item:
    known: dict[str, Any] = _checked(form.fields, row, where)
    question = texts.render(form.question, {**row, **known}, where)
    gold: Gold = _checked(form.gold, row, where)
    options = wording.options or gold.options
    if options and gold.answer and gold.answer not in options:
        raise HoneError(
            f"{where[0].upper()}{where[1:]} cannot be used.",
            f"Its answer is {gold.answer!r}, which is not one of the options {', '.join(options)}.",
            "Name all options with --option, spelt as in the answers.",
        )
    extra = canonical_json(dict(gold.extra))
    return Item(str(row.get("id", "")), question, gold.answer, options, gold.worked, part_of(row), extra)


def part_of(row: Row) -> str:
    """The task or subject of a row; "" where it names none."""
    return next((str(row[name]) for name in PARTS if row.get(name)), "")


def _rows(asked: Source, form: Format) -> list[Row]:
    found = rows.read(asked.file, form.columns)
    parts = sorted({part_of(row) for row in found} - {""})
    if asked.part:
        found = [row for row in found if part_of(row) == asked.part or row.get("id") == asked.part]
        if not found:
            raise HoneError(
                f"{asked.file.name} has no part called {asked.part}.",
                f"It has {', '.join(parts) or 'no parts'}.",
                "Name one of these after the #.",
            )
    elif asked.format == "bbh" and len(parts) > 1:
        raise HoneError(
            f"{asked.file.name} holds several tasks: {', '.join(parts)}.",
            "What is right differs between them.",
            f"Name one: bbh:{asked.file}#{parts[0]}.",
        )
    return found


def _content_free(form: Format, row: Row, asked: Source) -> tuple[str, ...]:
    """The question asked of nothing, once for each content-free text, which takes the place of each text that
    is the row's own.
    """
    where = f"row 1 of {asked.file.name}"
    known = {**row, **_checked(form.fields, row, where)}
    own = [name for name in form.content if isinstance(known.get(name), str)]
    if not own:
        return ()
    emptied = [{**known, **dict.fromkeys(own, nothing)} for nothing in NOTHING]
    return tuple(texts.render(form.question, one, where) for one in emptied)


def _judge(form: Format, wording: Wording, items: Sequence[Item], rewards: Rewards) -> Callable[[], Metric]:
    if wording.metric:
        return lambda: metrics.named(wording.metric, rewards)
    if form.judge == "gold":
        return lambda: metrics.suited(items)
    return lambda: metrics.named(form.judge)


def _checked(reading: Callable[[Row], Any], row: Row, where: str) -> Any:
    try:
        return reading(row)
    except RowError as error:
        raise HoneError(
            f"{where[0].upper()}{where[1:]} cannot be used.", f"{error}."[0].upper() + f"{error}."[1:],
            "Mend the row, or choose another format."
        ) from error  # fmt: skip
