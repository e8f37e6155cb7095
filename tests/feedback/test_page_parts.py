"""What every page shares: the Markdown renderer, the header, the role check."""

import re
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback import look
from feedback.errors import ForbiddenError
from feedback.ids import LOCAL_USER, UserId
from feedback.markdown import to_html
from feedback.people import Role, allowed

ALLOWED_TAGS = {
    "p", "br", "em", "strong", "a", "ul", "ol", "li", "pre", "code", "blockquote", "hr", "h1", "h2", "h3",
    "h4", "h5", "h6", "div", "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip


@dataclass(frozen=True)
class Somebody:
    id: UserId = LOCAL_USER
    name: str = "Ann"
    roles: frozenset[Role] = frozenset({"labeller"})


@given(
    st.text(
        alphabet=st.sampled_from("<>&\"'`*_[]()!#-|:/ \nabcimgscriptonerrorjavascript123=x"), max_size=120
    )
)
def test_whatever_is_written_only_harmless_tags_come_out(text: str) -> None:
    for tag, attributes in re.findall(r"<(\w+)([^>]*)>", to_html(text)):
        assert tag in ALLOWED_TAGS
        assert not re.search(r"\son\w+\s*=", re.sub(r'"[^"]*"', "", attributes))


@pytest.mark.parametrize(
    "text",
    [
        "[x](javascript:alert(1))", "[x](data:text/html,hi)", "<javascript:alert(1)>", "[x](vbscript:x)",
        "[x](/logout)", "[x]: javascript:alert(1)\n[x]",
    ],
)  # fmt: skip
def test_a_link_leads_to_the_web_or_nowhere(text: str) -> None:
    assert "href" not in to_html(text)


def test_a_link_opens_apart_and_tells_nothing_of_where_it_was() -> None:
    shown = to_html("[docs](https://example.org/a?b=1&c=2)")
    assert 'href="https://example.org/a?b=1&amp;c=2"' in shown
    assert 'target="_blank" rel="noopener noreferrer nofollow"' in shown


def test_a_picture_is_never_fetched() -> None:
    assert "<img" not in to_html("![secret](https://example.org/track.png)")


def test_the_header_shows_the_pages_of_these_roles_and_no_others() -> None:
    shown = look.nav("label", {"labeller"}, "Ann <b>")
    assert 'data-testid="nav-label" aria-current=page' in shown
    assert "nav-operate" not in shown
    assert "nav-chat" not in shown
    assert "Ann &lt;b&gt;" in shown


def test_there_is_nothing_to_log_out_of_without_accounts() -> None:
    assert "/logout" not in look.nav("chat", {"chatter"})


def test_the_look_names_no_other_machine() -> None:
    assert not re.search(r"https?://|//[a-z]|@import", look.head() + look.plain_css())


def test_a_role_one_does_not_hold_is_refused_by_name() -> None:
    assert allowed(Somebody(), "labeller") == Somebody()
    with pytest.raises(ForbiddenError, match="operator"):
        allowed(Somebody(), "operator")
