"""JSON schemas for tests, and whether a value fits one: the few keywords that tests use, checked by hand."""

import json
from typing import Any

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}

SHORT: dict[str, Any] = {"type": "string", "maxLength": 8}
SMALL: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": 999}
PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": SHORT,
        "age": SMALL,
        "tags": {"type": "array", "items": SHORT, "maxItems": 2},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}
ENDING: list[dict[str, Any]] = [
    {"enum": ["red", "green", 7, None]},
    PERSON,
    {
        "type": "object",
        "properties": {"who": PERSON, "sure": {"type": "boolean"}},
        "required": ["who", "sure"],
        "additionalProperties": False,
    },
    {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 2, "maxItems": 2},
]
"""Schemas whose values are all short."""


def optional(count: int) -> dict[str, Any]:
    """An object that has any of so many keys."""
    keys = {f"k{number}": {"type": "null"} for number in range(count)}
    return {"type": "object", "properties": keys, "additionalProperties": False}


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Whether `value` fits `schema`."""
    if "enum" in schema:
        return value in schema["enum"]
    kind = schema.get("type")
    if kind and (not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return False
    if isinstance(value, dict):
        return _object_fits(value, schema)
    if isinstance(value, list):
        return schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)) and all(
            fits(one, schema.get("items", {})) for one in value
        )
    if isinstance(value, str):
        return schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value))
    return value is None or schema.get("minimum", value) <= value <= schema.get("maximum", value)


def _object_fits(value: dict[str, Any], schema: dict[str, Any]) -> bool:
    known: dict[str, Any] = schema.get("properties", {})
    extra = set(value) - set(known)
    return (
        set(schema.get("required", ())) <= set(value)
        and not (extra and schema.get("additionalProperties") is False)
        and all(fits(value[key], known[key]) for key in set(value) & set(known))
    )


def text_fits(text: str, schema: dict[str, Any]) -> bool:
    """Whether `text` is JSON of a value that fits `schema`, and nothing else."""
    return fits(json.loads(text), schema)
