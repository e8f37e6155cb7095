"""A tokenizer read without transformers is the one that transformers reads."""

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import ByteLevel, Metaspace

from assistant import base as bases
from assistant import plain_tokenizer
from assistant.base import Base
from assistant.engines.reply import plain_vocabulary, vocabulary
from prompts.chat import ChatTemplate

TEXTS = [
    "Hello",
    "  two  spaces\n\n",
    "<|im_start|>user\nWho?<|im_end|>\n",
    "naïve 你好 👩‍🚀",
    "<|endoftext|>",
    "",
]


def check_alike(base: Base, text: str) -> None:
    plain = plain_tokenizer.read(base.folder)
    assert plain is not None
    theirs = vocabulary(bases.load_tokenizer(base), plain.template, [1])
    ours = plain_vocabulary(plain, [1])
    ids = theirs.ids(text)
    assert ours.ids(text) == ids
    assert ours.text(ids) == theirs.text(ids)
    assert (ours.end_id, ours.end_ids, ours.control_ids) == (
        theirs.end_id,
        theirs.end_ids,
        theirs.control_ids,
    )


@pytest.mark.model
@pytest.mark.parametrize("text", TEXTS)
def test_the_embedded_model_s_words_are_cut_alike(real_base: Base, text: str) -> None:
    check_alike(real_base, text)


@settings(deadline=None, max_examples=25)
@given(text=some.text(max_size=30))
def test_a_small_model_s_words_are_cut_alike(tiny_base: Base, text: str) -> None:
    check_alike(tiny_base, text)


@pytest.mark.model
@settings(deadline=None, max_examples=50)
@given(
    parts=some.lists(
        some.sampled_from(["<|im_start|>", "<|im_end|>", "<|im_", "|>", "<repo_name>", " ", "\n", "12 "])
        | some.text(max_size=8)
    )
)
def test_a_text_s_words_are_those_of_its_parts(real_base: Base, parts: list[str]) -> None:
    check_alike(real_base, "".join(parts))


def test_a_tokenizer_to_which_the_first_word_is_another_cuts_nothing() -> None:
    words = {"<s>": 0, "\u2581Hi": 1, "Hi": 2, "?": 3}
    inner = Tokenizer(WordLevel(words, unk_token="?"))
    inner.pre_tokenizer = Metaspace(prepend_scheme="first")
    inner.add_special_tokens(["<s>"])
    plain = plain_tokenizer.PlainTokenizer(inner, ChatTemplate("", "", "<s>", ("<s>",)), 0)
    assert plain.ids("Hi<s>Hi") == [1, 0, 2]
    assert plain_vocabulary(plain, []).ids("Hi<s>Hi") == [1, 0, 2]


def test_of_marks_that_begin_alike_the_longest_is_found() -> None:
    inner = Tokenizer(WordLevel({"<s>": 0, "<s>x": 1, "Hi": 2, "x": 3, "?": 4}, unk_token="?"))
    inner.pre_tokenizer = ByteLevel(add_prefix_space=False)
    inner.add_special_tokens(["<s>", "<s>x"])
    plain = plain_tokenizer.PlainTokenizer(inner, ChatTemplate("", "", "<s>", ("<s>",)), 0)
    assert plain.parts("Hi<s>xHi<s>") == ["Hi", "<s>x", "Hi", "<s>"]
    assert plain_vocabulary(plain, []).ids("Hi<s>xHi<s>") == plain.ids("Hi<s>xHi<s>") == [2, 1, 2, 0]


@pytest.mark.model
def test_its_chat_template_is_the_one_that_transformers_finds(real_base: Base) -> None:
    plain = plain_tokenizer.read(real_base.folder)
    assert plain is not None
    check_template(real_base, plain.template)


def test_a_small_model_s_chat_template_is_found_too(tiny_base: Base) -> None:
    plain = plain_tokenizer.read(tiny_base.folder)
    assert plain is not None
    check_template(tiny_base, plain.template)


def check_template(base: Base, found: ChatTemplate) -> None:
    tokenizer = bases.load_tokenizer(base)
    control = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    expected = ChatTemplate(
        source=str(tokenizer.chat_template),
        bos=str(tokenizer.bos_token or ""),
        eos=str(tokenizer.eos_token),
        control_tokens=tuple(sorted(control | set(tokenizer.all_special_tokens))),
    )
    for field in fields(ChatTemplate):
        assert getattr(found, field.name) == getattr(expected, field.name), field.name


def test_a_tokenizer_of_another_kind_is_left_to_transformers(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "LlamaTokenizer", "eos_token": "</s>"}'
    )
    assert plain_tokenizer.read(tmp_path) is None
