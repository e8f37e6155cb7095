"""Whether an answer is JSON that fits a schema. Knows the library jsonschema; fetches nothing."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from jsonschema.exceptions import SchemaError
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from feedback.errors import HoneError
from prompts.evaluation.items import ByRule, Item, Score

FENCED = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class JsonSchema(ByRule):
    """`file`: where the schema came from, for people."""

    file: str
    validator: Validator = field(repr=False)
    name: str = "json-schema"

    @classmethod
    def of(cls, file: Path) -> "JsonSchema":
        """The metric for the schema in `file`. HoneError when it is missing or no schema."""
        try:
            schema = json.loads(file.read_text("utf-8"))
            kind = validator_for(schema)
            kind.check_schema(schema)
        except (OSError, ValueError, SchemaError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise HoneError(
                f"{file} cannot be used as a JSON schema.", f"{reason}.", "Name another file."
            ) from error
        # An empty registry: a reference to another server is an error, and never a download.
        return cls(file.name, kind(schema, registry=Registry()))

    @property
    def rule(self) -> str:
        return f"The answer, or its one fenced block, is JSON that fits {self.file}."

    def score(self, said: str, item: Item) -> Score:
        blocks = FENCED.findall(said)
        try:
            value = json.loads(blocks[0] if len(blocks) == 1 else said)
        except (ValueError, RecursionError):
            return Score(0.0, "no JSON")
        try:
            wrong = next(iter(self.validator.iter_errors(value)), None)
        except Unresolvable as error:
            raise HoneError(
                f"The schema {self.file} cannot be used.", f"{error}.", "Put all of it into one file."
            ) from error
        return Score(float(wrong is None), "" if wrong is None else wrong.message[:200])
