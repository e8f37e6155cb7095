"""Strategies that a person puts into the home: files alone, refused in one sentence when they are wrong."""

import sqlite3
from pathlib import Path

import pytest
from sqlite_utils import Database

from feedback import schema
from feedback.errors import HoneError
from feedback.ids import LOCAL_USER
from feedback.store import Store
from prompts import labels, library, service, trials
from prompts.library import NewVersion
from prompts.own import register_own
from prompts.trials import Arm

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


def test_where_it_came_from_is_told_apart_from_what_came_with_hone(store: Store, folder: Path) -> None:
    (folder / "short.jinja").write_text(MINE)
    (own,) = register_own(store, folder)
    record = library.record(store, own.id)
    assert (record.origin, record.made_by) == ("own", "from the home's folder prompts")
    assert library.versions(store, "zero-shot")[0].origin == "shipped"
    assert not labels.can_go_back(store, "short")  # the next start would put it there again


def test_in_a_home_from_before_own_strategies_become_what_they_are() -> None:
    """The migration: they were written down as if they had come with Hone."""
    old = sqlite3.connect(":memory:", isolation_level=None)
    db = Database(old)
    for file in ("0001_first.sql", "0002_api.sql", "0003_strategies.sql", "0004_library.sql"):
        schema.run(db, file)
    for name, origin in (("zero-shot", "shipped"), ("short", "shipped"), ("ann", "person"), ("x", "search")):
        old.execute(
            "INSERT INTO prompt_versions (id, sha256, name, source_json, origin, created_at, note)"
            " VALUES (?, ?, ?, '{}', ?, 'then', 'kept')",
            (f"pv_{name}", name, name, origin),
        )
    schema.run(db, "0005_own_strategies.sql")
    assert old.execute("SELECT id, origin, note FROM prompt_versions ORDER BY rowid").fetchall() == [
        ("pv_zero-shot", "shipped", "kept"),
        ("pv_short", "own", "kept"),
        ("pv_ann", "person", "kept"),
        ("pv_x", "search", "kept"),
    ]


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


def test_a_strategy_goes_out_of_service_with_its_file_and_comes_back_with_it(
    store: Store, folder: Path
) -> None:
    (folder / "short.jinja").write_text(MINE)
    (folder / "other.jinja").write_text(MINE)
    (own, *_) = [one for one in register_own(store, folder) if one.name == "short"]
    longer = library.add(
        store, LOCAL_USER, NewVersion("short", {"short.jinja": MINE.replace("Briefly", "At length")})
    )
    trials.start(store, LOCAL_USER, "short", [Arm(own.id, 0.5), Arm(longer.id, 0.5)])
    (folder / "short.jinja").unlink()
    register_own(store, folder)
    assert "short" not in [one.name for one in service.offered(store)]
    assert "other" in library.names(store)
    assert trials.running(store, "short") is None
    assert library.get(store, own.id).strategy.steps  # what answered once can still be read
    left = labels.moves(store, "short")[0]
    assert (left.from_id, left.to_id, left.kind) == (own.id, None, "shipped")
    (folder / "short.jinja").write_text(MINE)
    register_own(store, folder)
    assert library.production(store, "short").id == own.id
    assert not labels.can_go_back(store, "short")


def test_what_a_person_put_in_production_stays_without_the_file(store: Store, folder: Path) -> None:
    (folder / "short.jinja").write_text(MINE)
    register_own(store, folder)
    mine = library.add(
        store, LOCAL_USER, NewVersion("short", {"short.jinja": MINE.replace("Briefly", "Short")})
    )
    service.put(store, LOCAL_USER, mine.id)
    (folder / "short.jinja").unlink()
    folder.rmdir()
    register_own(store, folder)
    assert library.production(store, "short").id == mine.id


@pytest.mark.parametrize("name", ["My Strategy", "Short", "a_b", "x" * 61])
def test_a_file_whose_name_cannot_be_asked_for_is_refused(store: Store, folder: Path, name: str) -> None:
    (folder / f"{name}.jinja").write_text(MINE)
    with pytest.raises(HoneError, match="cannot be a strategy's name"):
        register_own(store, folder)


def test_a_name_that_hone_uses_itself_is_refused(store: Store, folder: Path) -> None:
    (folder / "few-shot.jinja").write_text(MINE)
    with pytest.raises(HoneError, match=r"few-shot.*has the name of one that comes with Hone"):
        register_own(store, folder)
