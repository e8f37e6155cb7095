"""Prompt versions: named by content, never changed; production follows the shipped file or the person."""

import shutil
from pathlib import Path

import pytest

from feedback.errors import HoneError, NotFoundError
from feedback.ids import LOCAL_USER, PromptVersionId
from feedback.store import Store
from prompts import library
from prompts.plain import SHIPPED, shipped


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED, tmp_path / "templates"))


def reword(folder: Path, new: str) -> None:
    file = folder / "few-shot.jinja"
    file.write_text(file.read_text().replace("title: Few-shot", f"title: {new}"))


def versions(store: Store) -> int:
    return len(store.rows("SELECT id FROM prompt_versions"))


def test_every_shipped_strategy_is_in_production_with_zero_shot_first(store: Store) -> None:
    library.register_shipped(store)
    assert library.names(store) == ["zero-shot", *sorted(set(shipped()) - {"zero-shot"})]
    for name in library.names(store):
        version = library.production(store, name)
        assert (version.name, version.strategy.name) == (name, name)
        assert version.id == f"pv_{version.strategy.sha256[:12]}"


def test_registering_again_changes_nothing(store: Store) -> None:
    library.register_shipped(store)
    before = store.rows("SELECT * FROM prompt_labels"), versions(store)
    library.register_shipped(store)
    after = store.rows("SELECT * FROM prompt_labels"), versions(store)
    assert [list(map(tuple, before[0])), before[1]] == [list(map(tuple, after[0])), after[1]]


def test_production_follows_a_changed_file_and_the_old_version_stays_readable(
    store: Store, folder: Path
) -> None:
    library.register_shipped(store, folder)
    old = library.production(store, "few-shot")
    reword(folder, "Better")
    library.register_shipped(store, folder)
    assert library.production(store, "few-shot").strategy.title == "Better"
    assert library.get(store, old.id) == old


def test_a_file_changed_back_is_the_old_version_again(store: Store, folder: Path) -> None:
    library.register_shipped(store, SHIPPED)
    old, known = library.production(store, "few-shot"), versions(store)
    reword(folder, "Better")
    library.register_shipped(store, folder)
    library.register_shipped(store, SHIPPED)
    assert library.production(store, "few-shot") == old
    assert versions(store) == known + 1


def test_a_label_that_a_person_placed_stays_there(store: Store, folder: Path) -> None:
    library.register_shipped(store)
    placed = library.production(store, "few-shot")
    store.execute("UPDATE prompt_labels SET moved_by = ? WHERE name = 'few-shot'", LOCAL_USER)
    reword(folder, "Better")
    library.register_shipped(store, folder)
    assert library.production(store, "few-shot") == placed


def test_one_broken_template_leaves_nothing_written(store: Store, folder: Path) -> None:
    reword(folder, "[")
    with pytest.raises(HoneError, match=r"few-shot\.jinja"):
        library.register_shipped(store, folder)
    assert versions(store) == 0


def test_an_unknown_strategy_or_version_is_said_to_be_unknown(store: Store) -> None:
    library.register_shipped(store)
    with pytest.raises(NotFoundError, match="chain-of-thought"):
        library.production(store, "magic")
    with pytest.raises(NotFoundError):
        library.get(store, PromptVersionId("pv_000000000000"))
