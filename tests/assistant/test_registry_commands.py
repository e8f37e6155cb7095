"""`hone models list`."""

import json
from pathlib import Path

from click.testing import CliRunner

from assistant import registry
from assistant.base import Base, chat_template
from assistant.commands import models
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
