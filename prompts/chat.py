"""The one renderer: messages to the exact text that a model reads. Knows no model, no tokenizer, no store.

`source` comes from the tokenizer (or is DEFAULT_TEMPLATE) and runs in a sandbox with the names that
transformers gives to chat templates, so that both render the same bytes. Chat, training and evaluation all
call `ChatTemplate.text`.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any, Literal

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from feedback.errors import HoneError

Role = Literal["system", "user", "assistant"]

NEUTRALISING = "1"
"""The version of the rule in `neutral`. Part of every template's hash: another rule renders other text."""

ZERO_WIDTH_SPACE = "\u200b"

DEFAULT_TEMPLATE = """\
{{ bos_token }}
{%- for message in messages %}
{%- if message.role == 'system' %}
{{- message.content + '\\n\\n' }}
{%- elif message.role == 'user' %}
{{- 'User: ' + message.content + '\\n' }}
{%- else %}
{{- 'Assistant:\\n' + message.content + eos_token + '\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- 'Assistant:\\n' }}
{%- endif %}"""
"""For models that bring none (GPT-2). Each reply ends with the model's end token, so that it can be learnt,
and starts on a line of its own: a prompt that ends in a space would split the first word in an unusual way.
"""

DEFAULT_TEMPLATE_MARKS = ("\nUser:", "\nAssistant:")
"""What opens a message in DEFAULT_TEMPLATE, where no control token does: neutralised in contents like one."""


@dataclass(frozen=True)
class ChatMessage:
    """One message as the model will read it.

    `earlier` marks a turn of the conversation so far, which the window may drop.
    """

    role: Role
    content: str
    earlier: bool = False


def neutral(text: str, marks: Sequence[str]) -> str:
    """`text` with no mark of `marks` left in it: a zero-width space parts each after its first character.

    A mark of one character cannot be parted: U+FFFD takes its place. Text without marks comes back unchanged.
    """
    # Until none is left: parting one of two overlapping marks may leave the other whole.
    while found := [mark for mark in marks if mark and mark in text]:
        for mark in found:
            parted = mark[0] + ZERO_WIDTH_SPACE + mark[1:] if len(mark) > 1 else "\ufffd"
            text = text.replace(mark, parted)
    return text


def with_system(messages: Sequence[ChatMessage], system_text: str) -> list[ChatMessage]:
    """`messages` after a caller's system text, which comes first in one message with a strategy's own."""
    if not system_text.strip():
        return list(messages)
    own = messages[0] if messages and messages[0].role == "system" else None
    text = f"{system_text}\n\n{own.content}" if own else system_text
    return [ChatMessage("system", text), *messages[1 if own else 0 :]]


@dataclass(frozen=True)
class ChatTemplate:
    """A model's chat template with the tokens it writes.

    `source`: Jinja. `bos`, `eos`: the text of those tokens, "" where a model has none. `control_tokens`: the
    text of every special token of the tokenizer; inside a message's content they are neutralised, here and
    nowhere else.
    """

    source: str
    bos: str
    eos: str
    control_tokens: tuple[str, ...]

    def text(self, messages: Sequence[ChatMessage], add_generation_prompt: bool = True) -> str:
        """The exact prompt. Raises HoneError when the template is broken or refuses these messages."""
        plain = [{"role": m.role, "content": neutral(m.content, self._marks)} for m in messages]
        try:
            return _compiled(self.source).render(
                messages=plain,
                tools=None,
                documents=None,
                add_generation_prompt=add_generation_prompt,
                bos_token=self.bos,
                eos_token=self.eos,
            )
        except (TemplateError, TypeError, ValueError) as error:
            raise HoneError(
                "The model's chat template cannot render this conversation.",
                f"It says: {error}.",
                "Choose a strategy without a system message, or another base model.",
            ) from error

    @cached_property
    def sha256(self) -> str:
        """What decides the rendered bytes, hashed: source, bos, eos, control tokens, neutralising rule."""
        parts = [NEUTRALISING, self.source, self.bos, self.eos, sorted(set(self.control_tokens))]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @cached_property
    def _marks(self) -> tuple[str, ...]:
        own = DEFAULT_TEMPLATE_MARKS if self.source == DEFAULT_TEMPLATE else ()
        return (*self.control_tokens, *own)


class _GenerationBlocks(Extension):
    """`{% generation %}` marks what a loss may see, in some templates. Rendering lets its body through."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 declares it as an instance attribute

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _refuse(message: str) -> None:
    raise TemplateError(message)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # Jinja's own filter escapes HTML, which is wrong in a prompt.
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


@lru_cache(maxsize=32)
def _compiled(source: str) -> Template:
    # Settings and names are those of transformers.utils.chat_template_utils 5.23; a test compares the bytes.
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlocks, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(source)
