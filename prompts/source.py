"""Reads one step from the text of its file: front matter to settings, each refused at its line."""

from dataclasses import dataclass
from typing import get_args

from jinja2 import TemplateSyntaxError

from prompts import checks
from prompts.answers import AnswerRule, Take
from prompts.checks import Check
from prompts.examples import Choice, Example
from prompts.frontmatter import FormatError, Section, mapping, split
from prompts.sandbox import UnusedError, compile_body
from prompts.step import GIVEN, FromPool, Step, refused

KEYS = (
    *("title", "description", "variables", "instruction", "examples", "answer", "max_tokens"),
    *("temperature", "samples", "check", "retries", "otherwise", "go_on"),
)
CHECKS = ("pattern", "contains", "one_of", "max_words", "min_words", "not_empty")

MOST_EXAMPLES = 64
MOST_SAMPLES = 32
MOST_RETRIES = 5
HOTTEST = 2.0


@dataclass(frozen=True)
class Place:
    """Where a step stands in its strategy: the names of the steps before and after it, in order."""

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


def read_step(name: str, file: str, text: str, place: Place) -> tuple[Step, str | None]:
    """One step, and the description in its front matter, if any. Raises HoneError with file and line."""
    try:
        return _read(name, file, text, place)
    except FormatError as error:
        raise refused(file, error.line, error.reason) from error
    except TemplateSyntaxError as error:
        raise refused(file, error.lineno, error.message or "the template cannot be read") from error


def _read(name: str, file: str, text: str, place: Place) -> tuple[Step, str | None]:
    front, body = split(text)
    section = mapping(front, first_line=2, keys=KEYS)
    variables = section.names("variables")
    if unknown := [v for v in variables if v not in (*GIVEN, *place.before)]:
        can_be = ", ".join((*GIVEN, *place.before))
        raise FormatError(section.line("variables"), f"{unknown[0]!r} is not known here; known are {can_be}")
    examples, pool = _examples(section)
    if (bool(examples) or pool is not None) != ("examples" in variables):
        raise FormatError(
            section.line("variables"), "`examples` must be both given and declared as a variable"
        )
    if section.has("instruction") and "instruction" not in variables:
        raise FormatError(section.line("instruction"), "`instruction` must be declared as a variable too")
    step = Step(
        name=name,
        title=section.text("title"),
        file=file,
        body=body,
        variables=tuple(variables),
        instruction=section.text("instruction") if section.has("instruction") else "",
        examples=examples,
        pool=pool,
        max_tokens=section.positive("max_tokens"),
        temperature=section.number("temperature", HOTTEST),
        samples=section.positive("samples", MOST_SAMPLES) or 1,
        answer=_answer(section),
        check=_check(section),
        retries=section.positive("retries", MOST_RETRIES) or 0,
        otherwise=_target(section, "otherwise", place),
        go_on=_target(section, "go_on", place),
    )
    _agree(section, step, place)
    try:
        compile_body(step.body, step.variables)
    except UnusedError as error:
        raise FormatError(section.line("variables"), str(error.message)) from error
    return step, section.text("description") if section.has("description") else None


def _examples(section: Section) -> tuple[tuple[Example, ...], FromPool | None]:
    """A list of examples, or where they come from, with a list for an empty pool."""
    if not section.is_mapping("examples"):
        return _list(section, "examples"), None
    keys = ("from", "count", "choose", "fallback")
    source = section.section("examples", keys)
    assert source is not None
    source.one_of("from", ("pool",))
    count = source.positive("count", MOST_EXAMPLES)
    if count is None:
        raise FormatError(source.opens, "'count' is missing")
    return _list(source, "fallback"), FromPool(count, source.one_of("choose", get_args(Choice)))


def _list(section: Section, key: str) -> tuple[Example, ...]:
    parts = section.sections(key, ("question", "answer"))
    return tuple(Example(part.text("question"), part.text("answer")) for part in parts)


def _answer(section: Section) -> AnswerRule:
    answer = section.section("answer", ("marker", "take", "options"))
    if answer is None:
        return AnswerRule()
    take: Take = answer.one_of("take", get_args(Take)) if answer.has("take") else "whole"
    options = tuple(answer.texts("options")) if answer.has("options") else ()
    if (take == "choice") != bool(options):
        raise FormatError(answer.line("options"), "`options` belongs to `take: choice`, and it needs them")
    if take == "choice" and len(options) < 2:
        raise FormatError(answer.line("options"), "a choice needs two `options` at least")
    marker = answer.text("marker") if answer.has("marker") else None
    if marker is None and not answer.has("take"):
        raise FormatError(answer.opens, "an `answer` rule has a `marker`, a `take`, or both")
    return AnswerRule(marker, take, options)


def _check(section: Section) -> Check | None:
    check = section.section("check", CHECKS)
    if check is None:
        return None
    if not check.nodes:
        raise FormatError(section.line("check"), f"a `check` has one or several of {', '.join(CHECKS)}")
    most, least = check.positive("max_words"), check.positive("min_words")
    if most is not None and least is not None and least > most:
        raise FormatError(check.line("min_words"), "`min_words` is more than `max_words`")
    pattern = check.text("pattern") if check.has("pattern") else None
    if pattern is not None:
        try:
            checks.compiled(pattern)
        except ValueError as error:
            raise FormatError(check.line("pattern"), str(error)) from error
    return Check(
        pattern=pattern,
        contains=tuple(check.texts("contains")) if check.has("contains") else (),
        one_of=tuple(check.texts("one_of")) if check.has("one_of") else (),
        max_words=most,
        min_words=least,
        not_empty=check.true("not_empty"),
    )


def _target(section: Section, key: str, place: Place) -> str:
    """A branch leads to a later step only, so that no chain can go round for ever."""
    if not section.has(key):
        return ""
    if not place.after:
        raise FormatError(section.line(key), f"{key!r} leads to a later step, and this is the last")
    return section.one_of(key, place.after)


def _agree(section: Section, step: Step, place: Place) -> None:
    """Settings that need or exclude each other."""
    warm = step.temperature is not None and step.temperature > 0
    faults = {
        "samples": (
            (step.samples > 1 and bool(place.after), "only the last step may have `samples`"),
            (step.samples > 1 and not warm, "`samples` needs a `temperature` above 0, or all are alike"),
            (step.samples > 1 and step.check is not None, "`samples` and `check` exclude each other"),
        ),
        "retries": (
            (step.retries > 0 and step.check is None, "`retries` needs a `check`"),
            (step.retries > 0 and not warm, "`retries` needs a `temperature` above 0, or all are alike"),
        ),
        "otherwise": ((bool(step.otherwise) and step.check is None, "`otherwise` needs a `check`"),),
    }
    for key, found in faults.items():
        for wrong, reason in found:
            if wrong:
                raise FormatError(section.line(key), reason)
