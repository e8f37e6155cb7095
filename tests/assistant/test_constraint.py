"""A constraint by itself: whatever a model's logits say, what comes out fits the schema."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from tokenizers import Tokenizer, decoders, models, normalizers

from assistant import plain_tokenizer
from assistant.base import Base
from assistant.engines.constraint import Grammars
from assistant.engines.interface import Completion, Request, SchemaError, UnableError, Wanted
from assistant.engines.reply import Reply, Vocabulary, plain_vocabulary
from assistant.registry import ModelVersion
from feedback.conversations import Sampling
from feedback.ids import ModelVersionId
from prompts.chat import DEFAULT_TEMPLATE, ChatTemplate
from tests import schemas

VERSION = ModelVersion(ModelVersionId("mv_none"), "none", "none", None, None, None, "", "")
KEYS = some.sampled_from(["a", "name", "größe", "a b", 'a "quoted" key', "日"])
LEAVES = some.sampled_from(
    [
        schemas.SHORT,
        schemas.SMALL,
        {"type": "boolean"},
        {"type": "null"},
        {"enum": ["red", "grün", 'a "quote"', 12, None]},
        {"type": "string", "minLength": 3, "maxLength": 5},
    ]
)


def an_object(inner: some.SearchStrategy[Any]) -> some.SearchStrategy[Any]:
    def made(properties: dict[str, Any], optional: set[str]) -> dict[str, Any]:
        required = sorted(set(properties) - optional)
        return {
            "type": "object", "properties": properties, "required": required, "additionalProperties": False,
        }  # fmt: skip

    return some.builds(made, some.dictionaries(KEYS, inner, max_size=3), some.sets(KEYS, max_size=2))


def an_array(inner: some.SearchStrategy[Any]) -> some.SearchStrategy[Any]:
    return some.builds(
        lambda items, most: {"type": "array", "items": items, "minItems": most // 2, "maxItems": most},
        inner,
        some.integers(0, 3),
    )


SCHEMAS = some.recursive(LEAVES, lambda inner: some.one_of(an_object(inner), an_array(inner)), max_leaves=4)


@pytest.fixture(scope="module")
def embedded(real_base: Base) -> tuple[Vocabulary, Grammars]:
    plain = plain_tokenizer.read(real_base.folder)
    assert plain is not None
    words = plain_vocabulary(plain, [0])  # a second end token
    return words, Grammars(words)


@pytest.fixture(scope="module")
def llama() -> tuple[Vocabulary, Grammars]:
    """Words of the kind that SentencePiece makes: a mark for each space, and bytes for what has no token."""
    letters = [*'▁abcdefghijklmnopqrstuvwxyz0123456789{}[]",:.-\\', *"▁a", "na", "me", '":', '{"', "▁{"]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *dict.fromkeys(letters)]
    merges = [("n", "a"), ("m", "e"), ('"', ":"), ("{", '"'), ("▁", "{")]
    known = {token: place for place, token in enumerate(tokens)}
    inner = Tokenizer(models.BPE(known, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    inner.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    inner.add_special_tokens(["<unk>", "<s>", "</s>"])
    template = ChatTemplate(DEFAULT_TEMPLATE, "<s>", "</s>", ("</s>", "<s>", "<unk>"))
    words = plain_vocabulary(plain_tokenizer.PlainTokenizer(inner, template, 2), [])
    return words, Grammars(words)


def written(
    words: Vocabulary, grammars: Grammars, schema: str, seed: int, size: int, sampling: Sampling | None = None
) -> Completion:
    """A reply of random logits that leans to control tokens from the start, and ends short by the schema."""
    dice = np.random.default_rng(seed)
    asked = sampling or Sampling(1.0, 1.0, 600, seed)
    request = Request("Hello", asked, VERSION, wanted=Wanted(json_schema=schema))
    reply = Reply(request, words, 2000, lambda: False, grammars.constraint(schema))
    lean = np.zeros(size, np.float32)
    lean[sorted(words.control_ids | words.end_ids)] = 9
    while not reply.over():
        reply.take(dice.normal(0, 3, size).astype(np.float32) + lean)
    return reply.completion()


@pytest.mark.model
@settings(deadline=None, max_examples=60)
@given(schema=SCHEMAS, seed=some.integers(0, 2**32), warm=some.booleans())
def test_whatever_the_embedded_model_thinks_the_reply_fits_the_schema(
    embedded: tuple[Vocabulary, Grammars], schema: dict[str, Any], seed: int, warm: bool
) -> None:
    sampling = Sampling(1.0 if warm else 0.0, 0.9, 600, seed)
    reply = written(*embedded, json.dumps(schema), seed, 49152, sampling)
    assert reply.finish == "stop"
    assert schemas.text_fits(reply.text, schema), reply.text


@settings(deadline=None, max_examples=60)
@given(schema=SCHEMAS, seed=some.integers(0, 2**32))
def test_words_of_the_sentencepiece_kind_are_held_too(
    llama: tuple[Vocabulary, Grammars], schema: dict[str, Any], seed: int
) -> None:
    reply = written(*llama, json.dumps(schema), seed, 320)  # a model has often more rows than words
    assert reply.finish == "stop"
    assert schemas.text_fits(reply.text, schema), reply.text


def test_an_end_token_is_allowed_where_the_value_may_end_and_nowhere_else(
    llama: tuple[Vocabulary, Grammars],
) -> None:
    words, grammars = llama
    constraint = grammars.constraint('{"type": "integer"}')
    assert not set(constraint.allowed(300)) & (words.control_ids | words.end_ids)
    constraint.push(words.ids("7")[-1])
    assert set(constraint.allowed(300)) & words.control_ids == words.end_ids
    assert not constraint.complete  # more digits may come


def test_a_control_token_that_its_tokenizer_takes_for_text_is_never_allowed(
    llama: tuple[Vocabulary, Grammars],
) -> None:
    """A template may use tokens that the tokenizer does not mark as special."""
    words, grammars = llama
    seven = words.ids("7")[-1]
    schema = '{"enum": [7, 8]}'
    unmarked = set(grammars.constraint(schema).allowed(300))
    marked = Grammars(replace(words, control_ids=words.control_ids | {seven}))
    assert seven in unmarked
    assert set(marked.constraint(schema).allowed(300)) == unmarked - {seven}


def test_a_value_that_nothing_can_be_added_to_ends_the_reply_at_once(
    llama: tuple[Vocabulary, Grammars],
) -> None:
    reply = written(*llama, '{"const": {"name": 1}}', 0, 300)
    assert (reply.text, reply.finish) == ('{"name": 1}', "stop")


@pytest.mark.parametrize(
    ("pattern", "why"), [("([a", "unclosed character class"), ("(?=a)b", "look-around, including look-ahead")]
)
def test_a_pattern_that_cannot_be_met_is_refused_with_its_reason(
    llama: tuple[Vocabulary, Grammars], pattern: str, why: str
) -> None:
    with pytest.raises(SchemaError) as refused:
        llama[1].constraint(json.dumps({"type": "string", "pattern": pattern}))
    assert f"The pattern {pattern} cannot be read: {why}" in str(refused.value)


def test_words_without_a_definition_are_refused_in_words(llama: tuple[Vocabulary, Grammars]) -> None:
    def refusing(definition: Callable[[], str]) -> Grammars:
        return Grammars(replace(llama[0], definition=definition))

    strange = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1, "</s>": 2}, unk_token="<unk>"))
    with pytest.raises(UnableError, match=r"cannot be held .* Its tokenizer is of another kind"):
        refusing(strange.to_str).constraint("{}")
