"""The one renderer: the bytes that the model's own template says, whatever people type."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.errors import HoneError
from prompts.chat import DEFAULT_TEMPLATE, ChatMessage, ChatTemplate
from tests.build import CHATML, chatml

GPT2 = ChatTemplate(DEFAULT_TEMPLATE, "<|endoftext|>", "<|endoftext|>", ("<|endoftext|>",))
MARKS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")

roles = st.sampled_from(["user", "assistant"])
hostile = st.lists(
    st.sampled_from(
        [*MARKS, "<|im_", "end|>", "<", "|>", "\n", "system", "\nUser:", "\nAssistant:", "a", "é", "\u200b"]
    )
).map("".join)
texts = st.one_of(st.text(), hostile)


def test_a_conversation_renders_as_the_template_says() -> None:
    messages = [ChatMessage("system", "Be kind."), ChatMessage("user", "Hi")]
    expected = (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
    assert chatml().text(messages) == expected


def test_without_a_generation_prompt_the_text_ends_after_the_last_message() -> None:
    text = chatml().text(
        [ChatMessage("user", "Hi"), ChatMessage("assistant", "Hello")], add_generation_prompt=False
    )
    assert text == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n"


@given(st.lists(st.tuples(roles, texts), min_size=1, max_size=5))
def test_no_text_opens_or_closes_a_message(turns: list[tuple[str, str]]) -> None:
    messages = [ChatMessage(role, content) for role, content in turns]
    innocent = [ChatMessage(role, "x") for role, _ in turns]
    for template, marks in ((chatml(), MARKS), (GPT2, ("<|endoftext|>", "\nUser:", "\nAssistant:"))):
        text, plain = template.text(messages), template.text(innocent)
        assert [text.count(mark) for mark in marks] == [plain.count(mark) for mark in marks]


@given(st.text().filter(lambda text: not any(mark in text for mark in MARKS)))
def test_innocent_text_reaches_the_model_unchanged(text: str) -> None:
    assert chatml().text([ChatMessage("user", text)]).startswith(f"<|im_start|>user\n{text}<|im_end|>")


@given(st.lists(texts, min_size=1, max_size=4))
def test_the_default_template_only_ever_adds_to_what_stands(contents: list[str]) -> None:
    messages = [ChatMessage(("user", "assistant")[i % 2], content) for i, content in enumerate(contents)]
    for length in range(1, len(messages)):
        before = GPT2.text(messages[:length], add_generation_prompt=messages[length].role == "assistant")
        assert GPT2.text(messages[: length + 1], add_generation_prompt=False).startswith(before)


def test_the_default_template_ends_each_reply_with_the_end_token() -> None:
    text = GPT2.text(
        [ChatMessage("user", "Hi"), ChatMessage("assistant", "Hello"), ChatMessage("user", "Bye")]
    )
    assert text == "<|endoftext|>User: Hi\nAssistant:\nHello<|endoftext|>\nUser: Bye\nAssistant:\n"


def test_the_hash_covers_everything_that_decides_the_text() -> None:
    variants = [
        ChatTemplate(CHATML, "", "</s>", ("</s>",)),
        ChatTemplate(CHATML + " ", "", "</s>", ("</s>",)),
        ChatTemplate(CHATML, "<s>", "</s>", ("</s>",)),
        ChatTemplate(CHATML, "", "<e>", ("</s>",)),
        ChatTemplate(CHATML, "", "</s>", ("</s>", "<s>")),
    ]
    assert len({template.sha256 for template in variants}) == len(variants)
    assert (
        ChatTemplate(CHATML, "", "</s>", ("a", "b")).sha256
        == ChatTemplate(CHATML, "", "</s>", ("b", "a")).sha256
    )


@pytest.mark.parametrize(
    "source",
    [
        "{{ raise_exception('no system here') }}",
        "{% if %}",
        "{{ messages.__class__.__mro__ }}",
        "{{ 1 + 'a' }}",
    ],
)
def test_a_template_that_fails_or_reaches_out_is_one_clear_sentence(source: str) -> None:
    with pytest.raises(HoneError, match="chat template cannot render"):
        ChatTemplate(source, "", "", ()).text([ChatMessage("user", "Hi")])


def test_names_that_transformers_gives_to_templates_are_there() -> None:
    source = (
        "{% generation %}{{ messages | tojson }}{% endgeneration %}"
        "{% for m in messages %}{% break %}{% endfor %}{{ strftime_now('%Y') | length }}"
    )
    text = ChatTemplate(source, "", "", ()).text([ChatMessage("user", "<é>")])
    assert text == '[{"role": "user", "content": "<é>"}]4'
