"""Questions and answers as small Jinja templates over the fields of a row. Knows no file and no model.

They run in the sandbox of strategies: strict, without calls, with limits; fields are data and never template.
"""

from collections.abc import Mapping
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError

from feedback.errors import HoneError
from prompts.sandbox import names_in, render_text


def render(source: str, row: Mapping[str, Any], where: str) -> str:
    """`source` over the fields of `row`; blank space of the template at both ends is dropped.

    HoneError, with `where` (such as "row 3 of dev.jsonl") for a template that cannot be read, names a field
    that the row lacks, or fails.
    """
    names = fields(source)
    if missing := [name for name in names if name not in row]:
        raise HoneError(
            f"The template {source!r} does not fit the data.",
            f"{where[0].upper()}{where[1:]} has no field {missing[0]!r}; it has {', '.join(sorted(row))}.",
            "Name fields that each row has.",
        )
    try:
        return render_text(source, row)
    except (TemplateError, TypeError, ValueError) as error:
        raise HoneError(
            f"The template {source!r} cannot be used.", f"At {where}: {error}.", "Mend it."
        ) from error


def fields(source: str) -> tuple[str, ...]:
    """The fields that `source` names. HoneError when it cannot be read."""
    try:
        return names_in(source)
    except TemplateSyntaxError as error:
        raise HoneError(
            f"The template {source!r} cannot be read.", f"{error.message}.", "It is Jinja: {{ field }}."
        ) from error
