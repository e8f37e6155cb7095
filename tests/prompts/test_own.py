"""Strategies that a person puts into the home: files alone, refused in one sentence when they are wrong."""

from pathlib import Path

import pytest

from feedback.errors import HoneError
from feedback.store import Store
from prompts import library
from prompts.own import register_own

ASK = '{% message "user" %}Briefly: {{ question }}{% endmessage %}'
MINE = f"---\ntitle: Short\nvariables: [question]\n---\n{ASK}"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "hone.db")
    library.register_shipped(made)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "prompts"
    made.mkdir()
    return made


def test_a_file_in_the_folder_is_a_strategy_and_a_changed_one_a_new_version(
    store: Store, folder: Path
) -> None:
    assert register_own(store, folder / "none") == []
    (folder / "short.jinja").write_text(MINE)
    (first,) = register_own(store, folder)
    assert library.production(store, "short").id == first.id
    (folder / "short.jinja").write_text(MINE.replace("Briefly", "In a word"))
    (second,) = register_own(store, folder)
    assert library.production(store, "short").id == second.id != first.id
    assert library.get(store, first.id).strategy.steps[0].body != second.strategy.steps[0].body


def test_a_chain_is_a_folder(store: Store, folder: Path) -> None:
    chain = folder / "twice"
    chain.mkdir()
    (chain / "strategy.yaml").write_text("title: T\ndescription: D\nsteps: [one, two]\n")
    (chain / "one.jinja").write_text(MINE)
    (chain / "two.jinja").write_text(MINE)
    register_own(store, folder)
    assert [step.name for step in library.production(store, "twice").strategy.steps] == ["one", "two"]


def test_what_is_wrong_is_said_with_file_and_line_and_nothing_is_written(store: Store, folder: Path) -> None:
    before = library.names(store)
    (folder / "good.jinja").write_text(MINE)
    (folder / "short.jinja").write_text(MINE.replace("question]", "question]\ncheck: {max_words: many}"))
    with pytest.raises(
        HoneError, match=r"short\.jinja cannot be used.*Line 4: 'max_words' must be a whole number"
    ):
        register_own(store, folder)
    assert library.names(store) == before


def test_other_files_that_cannot_be_strategies_are_refused_by_name(store: Store, folder: Path) -> None:
    (folder / "latin.jinja").write_bytes(b"\xe9")
    with pytest.raises(HoneError, match=r"latin\.jinja.*UTF-8"):
        register_own(store, folder)
    (folder / "latin.jinja").unlink()
    (folder / "half").mkdir()
    (folder / "half" / "one.jinja").write_text(MINE)
    with pytest.raises(HoneError, match=r"half/strategy\.yaml.*needs this file"):
        register_own(store, folder)


def test_a_name_that_hone_uses_itself_is_refused(store: Store, folder: Path) -> None:
    (folder / "few-shot.jinja").write_text(MINE)
    with pytest.raises(HoneError, match=r"few-shot.*has the name of one that comes with Hone"):
        register_own(store, folder)
