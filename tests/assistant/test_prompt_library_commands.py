"""`hone prompts list|show|diff|import|export|label`, as a person types them."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from app import cli
from tests.prompts.ground import NAME, source


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A strategy as a file, outside the home."""
    file = tmp_path / f"{NAME}.jinja"
    file.write_text(source(said="Be brief.")[f"{NAME}.jinja"])
    return file


def hone(home: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["prompts", *words, "--home", str(home)])


def told(home: Path, *words: str) -> Any:
    done = hone(home, *words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_file_comes_in_serves_and_goes_back(tmp_path: Path, mine: Path) -> None:
    home = tmp_path / "home"
    (first,) = told(home, "import", str(mine))["imported"]
    mine.write_text(mine.read_text().replace("brief", "kind"))
    (second,) = told(home, "import", str(mine), "--note", "kinder")["imported"]
    assert told(home, "label", NAME, "production", first["id"])["version_id"] == first["id"]
    done = hone(home, "label", NAME, "production", f"{NAME}@draft", "--note", "better")
    assert f"answered by {second['id']} from the next reply on" in done.output
    assert told(home, "label", NAME, "production", "--back")["version_id"] == first["id"]
    assert told(home, "label", NAME, "draft", first["id"])["draft"] == first["id"]
    listed = told(home, "list", NAME)["versions"]
    assert [one["id"] for one in listed] == [second["id"], first["id"]]
    assert listed[0]["note"] == "kinder"
    assert listed[1]["labels"] == ["draft", "production"]


def test_the_list_shows_what_came_with_hone_even_in_a_new_home(tmp_path: Path) -> None:
    shown = hone(tmp_path, "list")
    assert shown.exit_code == 0
    assert shown.output.startswith("zero-shot")
    assert "hone prompts show NAME" in shown.output
    names = [one["name"] for one in told(tmp_path, "list")["strategies"]]
    assert {"few-shot", "chain"} <= set(names)
    assert "came with Hone" in hone(tmp_path, "list", "chain").output


def test_the_list_tells_the_homes_own_files_from_those_of_hone(tmp_path: Path, mine: Path) -> None:
    folder = tmp_path / "home" / "prompts"
    folder.mkdir(parents=True)
    mine.rename(folder / mine.name)
    assert "from the home's folder prompts" in hone(tmp_path / "home", "list", NAME).output
    assert told(tmp_path / "home", "list", NAME)["versions"][0]["origin"] == "own"


def test_a_version_is_shown_and_compared(tmp_path: Path, mine: Path) -> None:
    hone(tmp_path, "import", str(mine), "--note", "for short answers")
    shown = hone(tmp_path, "show", f"{NAME}@draft").output
    assert "Be brief." in shown
    assert shown.count("for short answers") == 1
    changes = hone(tmp_path, "diff", "zero-shot", f"{NAME}@draft").output
    assert '+{% message "system" %}Be brief.{% endmessage %}' in changes
    assert "hold the same text" in hone(tmp_path, "diff", "chain", "chain").output
    assert told(tmp_path, "diff", "zero-shot", f"{NAME}@draft")["files"][0]["new"] == f"{NAME}.jinja"


def test_what_is_exported_can_be_imported(tmp_path: Path) -> None:
    out = tmp_path / "out"
    written = told(tmp_path / "one", "export", "--to", str(out))["exported"]
    assert (out / "chain" / "strategy.yaml").is_file()
    kept = told(tmp_path / "two", "import", str(out))["imported"]
    assert {one["id"] for one in kept} == {one["id"] for one in written}


def test_a_bad_file_leaves_with_its_line_and_keeps_none_of_the_folder(tmp_path: Path, mine: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    mine.rename(folder / mine.name)
    (folder / "bad.jinja").write_text("---\ntitle: Bad\nvariables: [question]\n---\n{{ question }}\n")
    done = hone(tmp_path / "home", "import", str(folder))
    assert done.exit_code == 2
    assert "bad.jinja cannot be used. Line 5: text stands outside a message" in done.stderr
    assert hone(tmp_path / "home", "show", f"{NAME}@draft").exit_code == 2


@pytest.mark.parametrize(
    "words",
    [
        ("label", "zero-shot", "production"),
        ("label", "zero-shot", "production", "zero-shot", "--back"),
        ("label", "zero-shot", "draft", "--back"),
        ("label", "zero-shot", "production", "--back"),
        ("label", "zero-shot", "production", "few-shot"),
        ("show", "nothing"),
        ("list", "nothing"),
        ("import", "nowhere.jinja"),
    ],
)
def test_what_cannot_be_done_is_said_on_one_line(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = hone(tmp_path, *words)
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
