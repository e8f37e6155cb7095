"""Untrusted templates: what a strategy's Jinja may say, and how long it may run. Knows Jinja; no files.

A template writes `{% message "user" %}...{% endmessage %}` blocks and `{% history %}`. Messages are collected
as a list while the template renders and are never found by reading text, so no value can open or close one.
Anything not named below is refused when the template is loaded: macros, imports, assignments, method calls.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from traceback import extract_tb
from typing import Any, get_args

from jinja2 import (
    Environment,
    StrictUndefined,
    Template,
    TemplateError,
    TemplateRuntimeError,
    TemplateSyntaxError,
    Undefined,
    meta,
    nodes,
    pass_context,
)
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from feedback.conversations import Turn
from prompts.chat import ChatMessage, Role

MAX_SOURCE_CHARS = 50_000
MAX_LOOP_STEPS = 10_000
"""Steps of all loops of one rendering together, so that nesting buys nothing."""
MAX_WRITTEN_CHARS = 2_000_000
"""What `{{ }}` and `{% history %}` may write in one rendering; far above any model's window."""

_COLLECTED = "messages so far"  # with spaces, so that no template can name it

_ALLOWED_NODES = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.For, nodes.CondExpr),
    *(nodes.Name, nodes.Const, nodes.List, nodes.Tuple, nodes.Getattr, nodes.Getitem, nodes.Slice),
    *(nodes.Filter, nodes.Test, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Keyword),
    *(nodes.Add, nodes.Sub, nodes.Neg, nodes.Concat),
    # What the two tags below compile to; a template cannot write these itself.
    *(nodes.CallBlock, nodes.ExprStmt, nodes.ContextReference, nodes.ExtensionAttribute),
)
_ALLOWED_FILTERS = (
    "capitalize",
    "first",
    "join",
    "last",
    "length",
    "lower",
    "title",
    "trim",
    "truncate",
    "upper",
)


class UnusedError(TemplateSyntaxError):
    """A variable is declared and never used. Its line is where it is declared, which is not known here."""


class LimitError(TemplateError):
    """The template runs or writes more than a prompt ever needs."""


class _Sandbox(ImmutableSandboxedEnvironment):
    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Not a method either: it cannot be called here, and written it would show an address in memory."""
        return super().is_safe_attribute(obj, attr, value) and not callable(value)


@dataclass
class _Collected:
    messages: list[ChatMessage] = field(default_factory=list)
    last_line: int = 1
    loop_steps: int = 0
    written_chars: int = 0

    def write(self, text: str) -> str:
        self.written_chars += len(text)
        if self.written_chars > MAX_WRITTEN_CHARS:
            raise LimitError(f"it writes more than {MAX_WRITTEN_CHARS} characters")
        return text


class _Messages(Extension):
    tags = {"message", "history"}  # noqa: RUF012 - jinja2 declares it as an instance attribute

    def parse(self, parser: Parser) -> nodes.Node:
        token = next(parser.stream)
        here = nodes.ContextReference(lineno=token.lineno)
        if token.value == "history":
            call = self.call_method("insert", [here, nodes.Name("history", "load", lineno=token.lineno)])
            return nodes.ExprStmt(call, lineno=token.lineno)
        role = parser.parse_expression()
        if not isinstance(role, nodes.Const) or role.value not in get_args(Role):
            parser.fail(f"a message's role is one of {', '.join(get_args(Role))}, in quotes", token.lineno)
        body = parser.parse_statements(("name:endmessage",), drop_needle=True)
        _trim(body)
        call = self.call_method("collect", [here, role, nodes.Const(token.lineno, lineno=token.lineno)])
        return nodes.CallBlock(call, [], [], body, lineno=token.lineno)

    def collect(self, context: Context, role: Role, line: int, caller: Any) -> str:
        collected: _Collected = context[_COLLECTED]
        if role == "system" and collected.messages:
            raise TemplateSyntaxError("only the first message may be the system's", line)
        collected.messages.append(ChatMessage(role, str(caller())))
        collected.last_line = line
        return ""

    def insert(self, context: Context, history: Sequence[Turn]) -> None:
        collected: _Collected = context[_COLLECTED]
        for turn in history:
            collected.messages.append(ChatMessage(turn.role, collected.write(turn.content), earlier=True))


def _trim(body: list[nodes.Node]) -> None:
    """Drops the template's own blank space at both ends of a message; never that of a value."""
    for index, strip in ((0, str.lstrip), (-1, str.rstrip)):
        output = body[index] if body else None
        edge = output.nodes[index] if isinstance(output, nodes.Output) and output.nodes else None
        if isinstance(edge, nodes.TemplateData):
            edge.data = strip(edge.data)


@pass_context
def _counted(context: Context, values: Iterable[Any]) -> Iterator[Any]:
    collected: _Collected = context[_COLLECTED]
    for value in values:
        collected.loop_steps += 1
        if collected.loop_steps > MAX_LOOP_STEPS:
            raise LimitError(f"its loops take more than {MAX_LOOP_STEPS} steps")
        yield value


@pass_context
def _written(context: Context, value: Any) -> str:
    if not isinstance(value, str | int | float | Undefined | None):
        kind = "a list" if isinstance(value, list | tuple) else f"a {type(value).__name__.lower()}"
        raise TemplateRuntimeError(f"{kind} is not text: write a part of it, or go through it with `for`")
    return context[_COLLECTED].write(str(value))


@pass_context
def _join(context: Context, values: Iterable[Any], separator: str = "") -> str:
    collected: _Collected = context[_COLLECTED]
    parts = [[collected.write(separator), collected.write(str(value))] for value in _counted(context, values)]
    return "".join(list(chain.from_iterable(parts))[1:])


@lru_cache(maxsize=1)
def _environment() -> _Sandbox:
    environment = _Sandbox(
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_written,
        extensions=[_Messages],
    )
    environment.globals.clear()
    environment.filters = {name: environment.filters[name] for name in _ALLOWED_FILTERS}
    environment.filters |= {"join": _join, "counted": _counted}
    return environment


@lru_cache(maxsize=256)
def compile_body(body: str, variables: tuple[str, ...]) -> Template:
    """`body` checked and compiled. Raises TemplateSyntaxError with the line of anything not allowed."""
    if len(body) > MAX_SOURCE_CHARS:
        raise TemplateSyntaxError(f"a template may be {MAX_SOURCE_CHARS} characters long", 1)
    try:
        return _compile(body, variables)
    except (RecursionError, MemoryError, SyntaxError, ValueError) as error:
        # Python's own limits: expressions or loops nested hundreds deep, numbers of thousands of digits.
        reason = getattr(error, "msg", None) or str(error)
        raise TemplateSyntaxError(f"it cannot be compiled ({reason})", 1) from error


def _compile(body: str, variables: tuple[str, ...]) -> Template:
    environment = _environment()
    tree = environment.parse(body)
    _check(tree, in_message=False)
    used = meta.find_undeclared_variables(tree)
    for name in sorted(used - set(variables)):
        line = next(n.lineno for n in tree.find_all(nodes.Name) if n.name == name)
        raise TemplateSyntaxError(f"the variable {name!r} is not declared under `variables`", line)
    for name in variables:
        if name not in used:
            raise UnusedError(f"the variable {name!r} is declared and never used", 1)
    for loop in tree.find_all(nodes.For):
        loop.iter = nodes.Filter(loop.iter, "counted", [], [], None, None, lineno=loop.lineno)
    return Template.from_code(environment, environment.compile(tree), environment.globals)


def render_messages(template: Template, values: Mapping[str, Any]) -> list[ChatMessage]:
    """The messages that the template writes, the last of them the user's. Raises TemplateError when it fails
    or goes over a limit.
    """
    collected = _Collected()
    template.render({**values, _COLLECTED: collected})
    if not collected.messages or collected.messages[-1].role != "user":
        raise TemplateSyntaxError("the last message must be the user's", collected.last_line)
    return collected.messages


@lru_cache(maxsize=512)
def names_in(source: str) -> tuple[str, ...]:
    """The variables that a template of plain text names, sorted. Raises TemplateSyntaxError."""
    # Read only, never run: it is compiled once more, under the rules of this room.
    return tuple(sorted(meta.find_undeclared_variables(Environment(autoescape=True).parse(source))))


def compile_text(source: str) -> Template:
    """A template of plain text, which writes one message. Raises TemplateSyntaxError."""
    return compile_body('{% message "user" %}' + source + "{% endmessage %}", names_in(source))


def render_text(source: str, values: Mapping[str, Any]) -> str:
    """What a template of plain text writes of the `values` it names. Raises as `render_messages` does."""
    named = {name: values[name] for name in names_in(source)}
    return render_messages(compile_text(source), named)[0].content


def line_of(error: Exception) -> int | None:
    """The template's line that raised `error` while it was compiled or rendered, where that is known."""
    if isinstance(error, TemplateSyntaxError):
        return error.lineno
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == "<template>"]
    return lines[-1] if lines else None


def _check(node: nodes.Node, in_message: bool) -> None:
    """Refuses what templates may not say, with its line."""
    if reason := _objection(node, in_message):
        raise TemplateSyntaxError(reason, _first_line(node))
    if isinstance(node, nodes.CallBlock):
        for child in node.body:
            _check(child, in_message=True)
    elif not isinstance(node, nodes.ExprStmt):
        for child in node.iter_child_nodes():
            _check(child, in_message)


def _objection(node: nodes.Node, in_message: bool) -> str | None:
    reason = None
    if isinstance(node, nodes.CallBlock | nodes.ExprStmt) and in_message:
        reason = "a message stands inside a message"
    elif isinstance(node, nodes.Output) and not in_message and not _blank(node):
        reason = "text stands outside a message"
    elif isinstance(node, nodes.Filter) and node.name not in _ALLOWED_FILTERS:
        reason = f"the filter {node.name!r} is not one of {', '.join(_ALLOWED_FILTERS)}"
    elif isinstance(node, nodes.For) and node.recursive:
        reason = "a loop may not call itself"
    elif isinstance(node, nodes.Name) and node.name == "self":
        reason = "a template may not look at itself"
    elif not isinstance(node, _ALLOWED_NODES):
        reason = f"{type(node).__name__.lower()} is not allowed in a template"
    return reason


def _blank(node: nodes.Node) -> bool:
    parts = node.nodes if isinstance(node, nodes.Output) else [node]
    return all(isinstance(part, nodes.TemplateData) and not part.data.strip() for part in parts)


def _first_line(node: nodes.Node) -> int:
    """Where a reader sees `node` begin: Jinja counts the blank lines before a text as part of it."""
    if isinstance(node, nodes.Output):
        node = next(part for part in node.nodes if not _blank(part))
    if isinstance(node, nodes.TemplateData):
        return node.lineno + node.data[: -len(node.data.lstrip())].count("\n")
    return node.lineno
