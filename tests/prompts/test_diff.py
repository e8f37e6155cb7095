"""Differences between versions: every line is told once, with its number in each."""

from hypothesis import given
from hypothesis import strategies as st

from prompts import diff
from prompts.diff import DiffLine
from prompts.plain import shipped
from prompts.strategy import Strategy


def strategy(name: str, **files: str) -> Strategy:
    """A strategy that nobody parses: a diff looks at files alone."""
    return Strategy(
        name, name, "", (), tuple(sorted((file.replace("_", "."), text) for file, text in files.items()))
    )


def test_the_same_text_differs_in_nothing() -> None:
    chain = shipped()["chain"]
    assert diff.between(chain, chain) == ()
    assert diff.unified(chain, chain, "a", "b") == ""


def test_a_changed_line_is_removed_and_added_and_the_rest_is_counted() -> None:
    lines = [f"line {n}" for n in range(1, 21)]
    new = [*lines[:9], "another", *lines[10:]]
    (one,) = diff.between(strategy("a", a_jinja="\n".join(lines)), strategy("a", a_jinja="\n".join(new)))
    assert (one.added, one.removed) == (1, 1)
    assert one.lines[0] == DiffLine("skipped", None, None, "6 lines the same")
    assert one.lines[1] == DiffLine("same", 7, 7, "line 7")
    assert DiffLine("removed", 10, None, "line 10") in one.lines
    assert DiffLine("added", None, 10, "another") in one.lines
    assert one.lines[-1] == DiffLine("skipped", None, None, "7 lines the same")


def test_a_single_template_under_another_name_is_compared_with_itself() -> None:
    (one,) = diff.between(strategy("a", a_jinja="x\ny"), strategy("b", b_jinja="x\nz"))
    assert (one.old, one.new) == ("a.jinja", "b.jinja")
    assert [line.kind for line in one.lines] == ["same", "removed", "added"]


def test_a_step_that_came_and_one_that_went_are_whole_files() -> None:
    old = strategy("c", strategy_yaml="x", one_jinja="1")
    new = strategy("c", strategy_yaml="x", two_jinja="2\n3")
    came, went = sorted(diff.between(old, new), key=lambda one: one.old)
    assert (came.old, came.new, came.added, came.removed) == ("", "two.jinja", 2, 0)
    assert (went.old, went.new, went.added, went.removed) == ("one.jinja", "", 0, 1)
    assert "/dev/null" in diff.unified(old, new, "a", "b")


texts = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=12).map("\n".join)


@given(texts, texts)
def test_what_is_same_and_added_together_is_the_new_text(old: str, new: str) -> None:
    found = diff.between(strategy("a", a_jinja=old), strategy("a", a_jinja=new))
    if old == new:
        assert found == ()
        return
    added = [line.text for line in found[0].lines if line.kind == "added"]
    told = {line.new: line.text for line in found[0].lines if line.new is not None}
    lines = new.split("\n") if new else []
    assert all(lines[number - 1] == text for number, text in told.items())
    assert len(added) - found[0].removed == len(lines) - (len(old.split("\n")) if old else 0)
