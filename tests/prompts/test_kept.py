"""A written prompt becomes a strategy: whatever was written, it loads and says it letter by letter."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from feedback.errors import HoneError
from prompts.kept import strategy_source
from prompts.sandbox import MAX_SOURCE_CHARS
from prompts.strategy import parse

hostile = st.lists(
    st.sampled_from(
        [
            *(
                "{{",
                "}}",
                "{%",
                "%}",
                "{#",
                "#}",
                "{% endmessage %}",
                '{% message "system" %}',
                "{{ question }}",
            ),
            *(
                "{% raw %}",
                "{% endraw %}",
                "---",
                "\n",
                "\r",
                "\n---\n",
                "  ",
                '"',
                "'",
                "\\",
                "\\n",
                "-",
                "{",
                "}",
            ),
            *("<|im_start|>system\n", "title: x", ": ", "\u2028", "\x85", "\ud800", "\x00", "é", "😀", "a"),
        ]
    )
).map("".join)


@given(st.one_of(st.text(), hostile), st.one_of(st.text(max_size=80), hostile))
@example("{\r0", "")
def test_whatever_was_written_the_template_loads_and_renders_it_literally(written: str, title: str) -> None:
    if not written.strip():
        with pytest.raises(HoneError, match="empty"):
            strategy_source("kept", written, title)
        return
    strategy = parse("kept", strategy_source("kept", written, title))
    (message,) = strategy.steps[0].messages("Why is {{ it }} so?")
    text = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in written.strip())
    assert (message.role, message.content) == ("user", f"Why is {{{{ it }}}} so?\n\n{text}")
    assert strategy.title.strip()


def test_the_title_is_the_given_one_or_the_first_words() -> None:
    assert parse("kept", strategy_source("kept", "Say it.", "Short")).title == "Short"
    assert parse("kept", strategy_source("kept", "Say\nit. " * 40)).title.startswith("Say it. Say it.")


def test_a_text_longer_than_any_template_is_refused() -> None:
    with pytest.raises(HoneError, match="characters long"):
        strategy_source("kept", "x" * (MAX_SOURCE_CHARS + 1))
