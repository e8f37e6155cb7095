"""A reply that grows is rendered block by block, and every page on the way is the page of the whole text."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from feedback.growing_markdown import Change, GrowingMarkdown
from feedback.markdown import to_html

LINES = st.sampled_from([
    "", "", "", "word", "two words", "*stress*", "`code`", "[link](https://a.example)", "[name]", "a | b",
    "| a | b |", "|---|---|", "--|--", "| 1 | 2 |", "- one", "- ", "-", "* two", "  nested", "  - inner",
    "    deep", "1. first", "2. second", "3) other", "> quote", ">", "# head", "#", "#tag", "===", "---",
    "```", "```py", "~~~", "let x = 1;", "    code", "\tcode", "***", "<b>raw</b>", "&amp; &", "\\", "word  ",
    "[name]: https://b.example", "[name]:", "https://c.example", "'title'", "\u00a0", "\x00", "é \u2028 x",
    "- [ ] task", "+", "+ plus", "10. ten", "> - both", "> ```", "\x0c",
])  # fmt: skip
ENDS = st.sampled_from(["\n", "\n", "\n", "\n\n", "\r\n", "\r", ""])
TEXTS = st.lists(st.tuples(LINES, ENDS), max_size=14).map(lambda rows: "".join(a + b for a, b in rows))


def apply(page: list[str], change: Change) -> None:
    assert change.start <= len(page)
    page[change.start :] = change.blocks


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.lists(st.integers(1, 12), min_size=1, max_size=60))
@example("para\n#tag", [5, 1, 9])
@example("[a]\n\nb\n\n[a]: https://x.example\n\nc\n", [1])
@example("a\r\nb\r\n\r\nc", [1])
@example("- a\n\n\n- b\n\nc\n\n- d", [1])
@example("| a | b |\n|---|---|\n| 1 | 2 |\n\nafter\n", [1])
@example("```\na\n\nb\n```\nc\n\nd", [1])
def test_at_every_moment_the_page_is_the_page_of_the_whole_text(text: str, steps: list[int]) -> None:
    growing, page, end = GrowingMarkdown(), [], 0
    while end < len(text):
        for step in steps:
            end += step
            apply(page, growing.update(text[:end]))
            assert "".join(page) == to_html(text[:end])


@settings(max_examples=100, deadline=None)
@given(TEXTS, TEXTS)
def test_a_text_that_is_replaced_by_another_is_shown_anew(first: str, second: str) -> None:
    growing, page = GrowingMarkdown(), []
    for text in (first, second, first[: len(first) // 2], second + first):
        apply(page, growing.update(text))
        assert "".join(page) == to_html(text)


def test_what_is_finished_is_not_sent_again() -> None:
    growing = GrowingMarkdown()
    growing.update("One.\n\nTwo.\n\nThr")
    change = growing.update("One.\n\nTwo.\n\nThree")
    assert change == Change(2, ("<p>Three</p>\n",))
    assert growing.update("One.\n\nTwo.\n\nThree").blocks == ()


def test_a_long_text_costs_no_more_at_its_end_than_at_its_beginning(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    from feedback import growing_markdown

    parsed: list[int] = []
    real = growing_markdown.blocks_of
    monkeypatch.setattr(
        growing_markdown, "blocks_of", lambda text, env: (parsed.append(len(text)), real(text, env))[1]
    )
    growing, text = GrowingMarkdown(), ""
    for _ in range(300):
        text += "A paragraph of some words.\n\n"
        growing.update(text)
    assert max(parsed) < 100
