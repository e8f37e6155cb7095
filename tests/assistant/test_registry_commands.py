"""`hone models list` and `hone models clean`."""

import json
import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from assistant import registry, served_files
from assistant.base import Base, chat_template
from assistant.commands import models
from assistant.doctor import doctor
from feedback.home import Home
from feedback.ids import LOCAL_USER
from feedback.store import Store
from tests import tiny_models


def test_the_list_marks_the_champion(store: Store, home: Home, tiny_base: Base, tmp_path: Path) -> None:
    base = registry.ensure_base(store, tiny_base, chat_template(tiny_base))
    added = registry.add(store, home, tiny_base, tiny_models.fake_adapter(tmp_path / "a"), None, "dpo")
    registry.move_champion(store, home, LOCAL_USER, added.id, "promote")
    shown = CliRunner().invoke(models, ["list", "--home", str(home.path)])
    assert shown.exit_code == 0
    lines = shown.output.splitlines()
    assert lines[0].startswith(f"  tiny-llama  {base.id}")
    assert lines[1].startswith(f"* dpo-1       {added.id}")
    told = json.loads(CliRunner().invoke(models, ["list", "--json", "--home", str(home.path)]).output)
    assert told["champion"] == added.id
    assert [version["name"] for version in told["versions"]] == ["tiny-llama", "dpo-1"]


def test_an_empty_home_says_what_to_do_next(tmp_path: Path) -> None:
    shown = CliRunner().invoke(models, ["list", "--home", str(tmp_path)])
    assert shown.exit_code == 0
    assert "hone serve" in shown.output


def put(home: Home, name: str, size: int, age_s: float = 0.0) -> Path:
    """A file among the weights that versions answer with."""
    home.served.mkdir(parents=True, exist_ok=True)
    file = home.served / name
    file.write_bytes(b"x" * size)
    os.utime(file, (time.time() - age_s,) * 2)
    return file


def test_cleaning_deletes_what_versions_answer_with_and_spares_what_is_being_written(home: Home) -> None:
    put(home, "one.safetensors", 6_000_000)
    put(home, ".two.safetensors.99", 5_000_000, age_s=3 * served_files.UNFINISHED_S)
    busy = put(home, ".three.safetensors.100", 10)
    looked = CliRunner().invoke(doctor, ["--model", "/nowhere", "--home", str(home.path)])
    assert f"2 files, 0.01 GB in {home.served}" in looked.output
    shown = CliRunner().invoke(models, ["clean", "--home", str(home.path)])
    assert shown.exit_code == 0
    assert f"2 files, 0.01 GB, are gone from {home.served}" in shown.output
    assert list(home.served.iterdir()) == [busy]
    told = json.loads(CliRunner().invoke(models, ["clean", "--json", "--home", str(home.path)]).output)
    assert told == {"files": 0, "size_bytes": 0, "in_use": []}


def test_files_that_a_system_will_not_give_up_are_named_in_one_sentence(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(home, "one.safetensors", 10)

    def refuse(file: Path) -> None:  # as Windows does while a process has the file mapped
        raise PermissionError(13, "The process cannot access the file", str(file))

    monkeypatch.setattr(Path, "unlink", refuse)
    shown = CliRunner().invoke(models, ["clean", "--home", str(home.path)])
    assert shown.exit_code == 0
    assert "1 more stay: a running server reads them." in shown.output
    assert (home.served / "one.safetensors").exists()
