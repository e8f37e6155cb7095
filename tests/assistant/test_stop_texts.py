"""A reply ends before the first stop text, however its pieces are cut."""

from hypothesis import given
from hypothesis import strategies as some

from assistant.engines.stop_texts import StopTexts

SHORT = some.text(alphabet="abc\n", min_size=1, max_size=4)


@given(
    text=some.text(alphabet="abc\n", max_size=30),
    stops=some.lists(SHORT, max_size=3),
    cut=some.integers(1, 5),
)
def test_what_is_shown_is_the_text_before_the_first_stop(text: str, stops: list[str], cut: int) -> None:
    watch = StopTexts(stops)
    shown = [watch.push(text[at : at + cut]) for at in range(0, len(text), cut)]
    shown.append(watch.rest())
    ends = [text.find(stop) for stop in stops if stop in text]
    # Which stop ends a reply is decided by the first piece that completes one.
    assert text.startswith("".join(shown))
    assert watch.found == bool(ends)
    if not ends:
        assert "".join(shown) == text
    else:
        assert not any(stop in "".join(shown) for stop in stops)


def test_text_that_cannot_become_a_stop_is_shown_at_once() -> None:
    watch = StopTexts(["\nUser:"])
    assert [watch.push(piece) for piece in ("Hi.", "\nUs", "ed cars", "\nUser", ": more")] == [
        "Hi.", "", "\nUsed cars", "", "",
    ]  # fmt: skip
    assert watch.found
    assert watch.rest() == ""


def test_without_stop_texts_nothing_is_held() -> None:
    watch = StopTexts([""])
    assert [watch.push(piece) for piece in ("a", "", "b")] == ["a", "", "b"]
