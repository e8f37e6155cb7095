"""What an engine must do that holds replies to JSON schemas itself, as tests: inherit `SchemaContract` beside
`EngineContract`, whose fixtures it uses.
"""

import json
from dataclasses import replace
from typing import Any

import pytest

from assistant.engines import constraint
from assistant.engines.interface import Engine, Request, SchemaError, Wanted
from assistant.registry import ModelVersion
from feedback.conversations import Sampling
from feedback.errors import HoneError
from tests import schemas
from tests.assistant.engine_contract import WARM, prompt, same, whole
from tests.scripted import drained


class SchemaContract:
    """Inherit it beside `EngineContract`."""

    @pytest.mark.parametrize("schema", schemas.ENDING)
    def test_replies_fit_their_schema_at_any_temperature(
        self, engine: Engine, plain: ModelVersion, schema: dict[str, Any]
    ) -> None:
        wanted = Wanted(json_schema=json.dumps(schema))
        for sampling in (Sampling(0.0, 1.0, 250), *(Sampling(1.5, 1.0, 250, seed) for seed in range(4))):
            pieces, reply = whole(engine, Request(prompt(engine, "The cat"), sampling, plain, wanted=wanted))
            assert "".join(pieces) == reply.text
            assert schemas.text_fits(reply.text, schema), reply.text
            assert reply.finish == "stop"
            assert "\n" not in reply.text

    def test_any_value_will_do_for_an_empty_schema(self, engine: Engine, plain: ModelVersion) -> None:
        wanted = Wanted(json_schema="{}")
        requests = [
            Request(prompt(engine, "The cat"), Sampling(1.2, 1.0, 60, seed), plain, wanted=wanted)
            for seed in range(16)
        ]
        ended = [reply.text for reply in engine.batch(requests) if reply.finish == "stop"]
        assert ended
        for text in ended:
            json.loads(text)

    def test_a_value_that_is_cut_off_ends_as_too_long(self, engine: Engine, plain: ModelVersion) -> None:
        wanted = Wanted(json_schema='{"type": "string", "minLength": 90}')
        reply = whole(
            engine, Request(prompt(engine, "The cat"), replace(WARM, max_tokens=8), plain, wanted=wanted)
        )[1]
        assert (reply.finish, reply.tokens, reply.text[0]) == ("length", 8, '"')

    def test_each_reply_of_a_batch_is_held_to_its_own_schema(
        self, engine: Engine, plain: ModelVersion
    ) -> None:
        wishes: list[dict[str, Any] | None] = [schemas.PERSON, None, schemas.ENDING[0], schemas.PERSON]
        requests = [
            Request(
                prompt(engine, "The cat"), Sampling(1.0, 1.0, 200, seed), plain,
                wanted=Wanted(json_schema=None if schema is None else json.dumps(schema)),
            )
            for seed, schema in enumerate(wishes)
        ]  # fmt: skip
        together = engine.batch(requests)
        for schema, reply, request in zip(wishes, together, requests, strict=True):
            assert same(reply) == same(whole(engine, request)[1])
            assert schema is None or schemas.text_fits(reply.text, schema)

    @pytest.mark.parametrize(
        ("schema", "why"),
        [
            ('{"type": "nothing"}', "nothing"),
            ('{"type": ', "EOF"),
            ('{"enum": []}', "empty"),
            ('{"type": "array", "uniqueItems": true}', "uniqueItems"),
            ('{"x-guidance": {"lenient": true}, "not": {"type": "string"}}', "not"),
            ('{"type": "integer", "minimum": 5, "maximum": 3}', "greater than maximum"),
            ('{"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}', "No value fits it"),
            ('{"$ref": "http://127.0.0.1/schema"}', "not present"),
            (json.dumps(schemas.optional(1001)), "It leaves 1,001 choices"),
            (json.dumps({"items": {"anyOf": [schemas.optional(501)] * 2}}), "It leaves 1,004 choices"),
        ],
    )
    def test_a_schema_that_no_reply_can_be_held_to_is_refused_before_the_reply(
        self, engine: Engine, plain: ModelVersion, schema: str, why: str
    ) -> None:
        wanted = Wanted(json_schema=schema)
        for ask in (
            lambda: engine.check(wanted),
            lambda: next(engine.stream(Request(prompt(engine, "A"), WARM, plain, wanted=wanted))),
        ):
            with pytest.raises(SchemaError, match=why) as refusal:
                ask()
            assert "\n" not in str(refusal.value)

    def test_hundreds_of_keys_may_be_left_out(self, engine: Engine, plain: ModelVersion) -> None:
        """In one object, and deep inside: where the key is chosen, the reply has begun."""
        many = schemas.optional(999)
        wrapped = {
            "type": "object",
            "properties": {"in": {"type": "array", "items": many}},
            "required": ["in"],
        }
        for schema in (many, wrapped):
            wanted = Wanted(json_schema=json.dumps(schema))
            for sampling in (Sampling(0.0, 1.0, 40), Sampling(1.5, 1.0, 40, 7)):
                reply = whole(engine, Request(prompt(engine, "The cat"), sampling, plain, wanted=wanted))[1]
                assert reply.finish == "length" or schemas.text_fits(reply.text, schema)
                assert reply.text.startswith("{")

    def test_log_probabilities_are_the_models_whatever_a_schema_forbids(
        self, engine: Engine, plain: ModelVersion
    ) -> None:
        free = Request(
            prompt(engine, "Who"), replace(WARM, temperature=0.0), plain, wanted=Wanted(top_logprobs=1)
        )
        held = replace(free, wanted=Wanted(top_logprobs=1, json_schema='{"enum": ["{}"]}'))
        told = whole(engine, held)[1].logprobs
        assert "".join(one.token for one in told) == '"{}"'
        assert told[0].top[0][1] == pytest.approx(whole(engine, free)[1].logprobs[0].nats, abs=1e-4)
        assert told[0].nats < told[0].top[0][1]

    def test_a_reply_that_cannot_be_held_to_the_end_breaks_no_other(
        self, engine: Engine, plain: ModelVersion, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A place of the grammar holds so much; here less than these keys take after the first brace."""
        monkeypatch.setattr(constraint, "ROW_ITEMS", 2000)
        many = schemas.optional(901)
        request = Request(prompt(engine, "The cat"), WARM, plain)
        alone = whole(engine, request)[1]
        beside = engine.stream(request)
        first = next(beside)
        with pytest.raises(HoneError, match=r"could not be held to its JSON schema .* Simplify the schema"):
            whole(engine, replace(request, wanted=Wanted(json_schema=json.dumps(many))))
        rest, completion = drained(beside)
        assert (same(completion), "".join([first, *rest])) == (same(alone), alone.text)
