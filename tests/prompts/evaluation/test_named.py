"""Strategies by the name that a person gives to `hone prompts evaluate`."""

from pathlib import Path

import pytest

from feedback.errors import HoneError
from feedback.ids import LOCAL_USER
from feedback.store import Store
from prompts import files, library, service
from prompts.evaluation import named
from prompts.plain import shipped
from tests.prompts.ground import NAME, add, source


def test_what_the_library_finds_is_found_by_the_same_names(store: Store) -> None:
    first, second = add(store, "Be brief."), add(store, "Be kind.")
    service.put(store, LOCAL_USER, first.id)
    assert named.version(store, NAME) == first
    assert named.version(store, f"{NAME}@draft") == second
    assert named.version(store, second.id[:8]) == second


def test_a_file_and_a_chains_folder_need_not_be_in_the_store(store: Store, tmp_path: Path) -> None:
    chain = files.write(tmp_path, shipped()["chain"])
    (chain / ".DS_Store").write_bytes(b"\xff\x00")
    (chain / "notes.txt").write_text("what lies beside it is not of it")
    found = named.version(store, f"{tmp_path}/chain")
    assert found == library.version_of(shipped()["chain"])
    file = files.write(tmp_path, shipped()["few-shot"])
    assert named.version(store, str(file)).strategy.sha256 == shipped()["few-shot"].sha256


def test_a_folder_of_several_and_a_file_that_is_missing_are_refused_in_words(
    store: Store, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.jinja").write_text(source()[f"{NAME}.jinja"])
    with pytest.raises(HoneError, match=r"There are 2 strategies in .*They are one, two"):
        named.version(store, str(tmp_path))
    with pytest.raises(HoneError, match=r"gone\.jinja cannot be read"):
        named.version(store, str(tmp_path / "gone.jinja"))
