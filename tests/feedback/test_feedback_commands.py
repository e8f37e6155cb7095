"""`hone feedback ...` as typed in a terminal, and what all commands share."""

import errno
import json

import click
from click.testing import CliRunner

from feedback import command_line, stats
from feedback.commands import feedback
from feedback.errors import HoneError
from tests import build


def typed(*words):
    return CliRunner().invoke(feedback, words)


def test_stats_counts_what_the_store_holds(tmp_path):
    build.judged_store(build.store(tmp_path))
    result = typed("stats", "--home", str(tmp_path), "--json")
    assert result.exit_code == 0
    assert json.loads(result.output) == {
        "conversations": 3,
        "messages": 10,
        "replies": 7,
        "votes": {"api": 1, "compare": 1},
        "ratings_up": 1,
        "ratings_down": 1,
        "demonstrations": 1,
        "withdrawn": 1,
        "pairs": 4,
        "dropped": {"no preference": 1, "replaced by a later judgement": 1, "withdrawn": 1},
        "label_tasks_open": 1,
        "label_tasks_done": 0,
    }


def test_stats_tells_a_person_where_the_store_is_and_what_to_do_next(tmp_path):
    result = typed("stats", "--home", str(tmp_path))
    assert str(tmp_path) in result.output
    assert "Next:" in result.output


def test_an_empty_store_counts_nothing(store):
    assert stats.counts(store).pairs == 0


def test_the_home_may_come_from_the_environment(tmp_path):
    result = CliRunner().invoke(feedback, ["stats"], env={"HONE_HOME": str(tmp_path / "elsewhere")})
    assert str(tmp_path / "elsewhere") in result.output


def test_an_unusable_home_is_one_sentence_and_exit_code_2(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    result = typed("stats", "--home", str(tmp_path / "file" / "home"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: The home folder")
    assert "Traceback" not in result.stderr


def test_a_damaged_store_is_one_sentence_and_exit_code_2(tmp_path):
    (tmp_path / "hone.db").write_bytes(b"no database at all, " * 100)
    result = typed("stats", "--home", str(tmp_path))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1


def test_a_group_turns_errors_of_its_nested_groups_into_exit_code_2():
    @click.group(cls=command_line.HoneGroup)
    def outer():
        pass

    @outer.group()
    def inner():
        pass

    @inner.command()
    def fail():
        raise HoneError("It broke.", "It was old.", "Mend it.")

    result = CliRunner().invoke(outer, ["inner", "fail"])
    assert (result.exit_code, result.stderr) == (2, "Error: It broke. It was old. Mend it.\n")


def test_a_full_disc_is_one_sentence_and_exit_code_2_whoever_finds_it_so():
    @click.group(cls=command_line.HoneGroup)
    def hone():
        """All commands."""

    @hone.command()
    def write():
        raise OSError(errno.ENOSPC, "No space left on device")

    @hone.command()
    def read():
        raise FileNotFoundError("no file")

    result = CliRunner().invoke(hone, ["write"])
    assert (result.exit_code, result.stderr) == (
        2, "Error: The disc is full. Nothing could be written. Free some space, then try again.\n",
    )  # fmt: skip
    assert isinstance(CliRunner().invoke(hone, ["read"]).exception, FileNotFoundError)
