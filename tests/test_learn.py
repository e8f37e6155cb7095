"""docs/learn.md as a learner types it: its blocks run in their order in one shell, on a tiny model.

A block of `sh` is run as it stands; the block of `text` after it is what it prints, and is held against what
was printed with numbers, ids and verdicts left out. What a model answered stands as a quotation, which is not
compared. `sh slow` trains or draws so much that it runs only under the mark slow. The homes that the page
makes have a tiny model where the embedded one is unpacked to; nothing else differs.
"""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

import app
from feedback.home import Home
from tests import tiny_models

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "learn.md"
BLOCK = re.compile(r"^```(sh|sh slow|text)\n(.*?)^```$", re.M | re.S)
PICTURE = re.compile(r"!\[(.*?)\]\((.*?)\)")
MOST_BYTES = 60_000
"""Of one picture."""
LEFT_OUT = "..."
HOMES = ("home", "circle")
"""The homes that the page makes, beside each other."""

CALLER = f"""#!{sys.executable} -SE
import json, os, socket, sys
told = socket.socket(socket.AF_UNIX)
told.connect(os.environ["HONE_SOCKET"])
with told.makefile("rw") as line:
    asked = {{"words": sys.argv[1:], "folder": os.getcwd(), "home": os.environ.get("HONE_HOME", "")}}
    print(json.dumps(asked), file=line, flush=True)
    said = json.loads(line.readline())
sys.stdout.write(said["stdout"])
sys.stderr.write(said["stderr"])
sys.exit(said["exit_code"])
"""
"""The program `hone` of the test: it has this process do it, which has torch in memory already."""


@dataclass(frozen=True)
class Block:
    """Commands, and the lines that the page shows of what they print."""

    commands: str
    slow: bool
    shown: tuple[str, ...]


def blocks() -> list[Block]:
    found: list[Block] = []
    for kind, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if kind == "text":
            found[-1] = Block(found[-1].commands, found[-1].slow, tuple(text.splitlines()))
        else:
            found.append(Block(text, kind == "sh slow", ()))
    return found


CHANGING = (
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "WHEN"),
    (r"\x1b\[[0-9;]*m", ""),
    (r"\S*/learn/", "learn/"),
    (r"\b(r|s|d|h|c|mv|pv|rm)_[0-9a-f]{6,}", "ID"),
    (r"\b(not enough evidence|pass|fail)\b", "VERDICT"),
    (r"^ +(ok|no)? +", " "),
    (r"was (not )?promoted.*", "PROMOTED"),
    (r"\b((?:kto|rlhf), recipe .*, )round \d+, from \S+$", r"\1FROM"),  # whoever the last verdict left there
    (r"^Next: hone (runs log|models promote) \S+$", "NEXT"),  # as the verdict is
    (r"^(negative|positive)\t", "LABEL "),
    (r"\b(cannot be told from|is better than|is worse than)\b", "COMPARED"),
    (r"[+-]?\b(nan|\d[\d,]*(\.\d+)?(e[+-]?\d+)?)\b", "#"),
    (r"\s+", " "),
)
"""What another model, another home or another day may say differently, and what stands for it."""


def label(line: str) -> str:
    for pattern, stands in CHANGING:
        line = re.sub(pattern, stands, line)
    return line.strip()


def differing(shown: tuple[str, ...], printed: list[str]) -> str:
    """The first line of the page that was not printed at its place; "" when all were."""
    at, anywhere = 0, False
    for line in shown:
        if line == LEFT_OUT:
            anywhere = True
            continue
        rest = [label(one) for one in printed[at:]]
        if label(line) not in (rest if anywhere else rest[:1]):
            return line
        at += rest.index(label(line)) + 1
        anywhere = False
    return "" if anywhere or at == len(printed) else f"the end; there is also: {printed[at]}"


@pytest.fixture
def learner(tmp_path: Path) -> Path:
    """A folder in which `learn/home` and `learn/circle` will find the embedded model, which is tiny."""
    for name in HOMES:
        tiny_models.save_as_embedded(Home(tmp_path / "learn" / name))
    program = tmp_path / "bin" / "hone"
    program.parent.mkdir()
    program.write_text(CALLER)
    program.chmod(0o755)
    return tmp_path


def run(folder: Path, todo: list[Block]) -> list[list[str]]:
    """The lines that each block prints. Fails with what stood on stderr where one fails."""
    script = "set -euo pipefail\n" + "\n".join(
        f"exec > {folder}/{number}.out\n{block.commands}" for number, block in enumerate(todo)
    )
    (folder / "page.sh").write_text(script)
    address = str(folder / "hone.socket")
    with socket.socket(socket.AF_UNIX) as door, (folder / "stderr").open("w") as errors:
        door.bind(address)
        door.listen()
        door.settimeout(0.1)
        path = os.pathsep.join([str(folder / "bin"), os.environ["PATH"]])
        shell = subprocess.Popen(
            ["bash", str(folder / "page.sh")], cwd=folder, stdin=subprocess.DEVNULL, stderr=errors,
            env=os.environ | {"PATH": path, "HONE_SOCKET": address},
        )  # fmt: skip
        while shell.poll() is None:
            with contextlib.suppress(TimeoutError):
                _answer(door.accept()[0])
    assert shell.returncode == 0, (folder / "stderr").read_text()
    return [(folder / f"{number}.out").read_text().splitlines() for number in range(len(todo))]


def _answer(caller: socket.socket) -> None:
    """Do one `hone ...` in this process, where its caller stands."""
    with caller, caller.makefile("rw") as line:
        asked = json.loads(line.readline())
        with contextlib.chdir(asked["folder"]):
            done = CliRunner().invoke(app.cli, asked["words"], env={"HONE_HOME": asked["home"]})
        stderr = repr(done.exception) if _broke(done.exception) else done.stderr
        print(
            json.dumps({"stdout": done.stdout, "stderr": stderr, "exit_code": done.exit_code}),
            file=line,
            flush=True,
        )


def _broke(error: BaseException | None) -> bool:
    return error is not None and not isinstance(error, SystemExit)


def check(folder: Path, todo: list[Block]) -> None:
    for block, printed in zip(todo, run(folder, todo), strict=True):
        if block.shown:
            missing = differing(block.shown, printed)
            assert not missing, f"{block.commands}\nshould print: {missing}\nbut printed:\n" + "\n".join(
                printed
            )


def test_every_quick_block_of_the_page_runs_and_prints_what_the_page_shows(learner: Path) -> None:
    check(learner, [block for block in blocks() if not block.slow])


def test_every_picture_of_the_page_is_small_and_told_in_words() -> None:
    found = PICTURE.findall(PAGE.read_text(encoding="utf-8"))
    assert found
    for words, file in found:
        assert len(words) > 40
        assert re.search(r"\d", words), "the figures that it shows"
        assert (DOCS / file).stat().st_size < MOST_BYTES
        assert ElementTree.parse(DOCS / file).getroot().get("aria-label")


@pytest.mark.slow
def test_the_whole_page_runs_in_its_order_and_its_pictures_can_be_drawn(learner: Path) -> None:
    check(learner, blocks())
    drawn = learner / "drawn"
    drawn.mkdir()
    script = [sys.executable, str(DOCS / "learn_plots.py"), str(learner / "learn"), str(drawn)]
    subprocess.run(script, check=True)
    shown = {Path(file).name for _, file in PICTURE.findall(PAGE.read_text(encoding="utf-8"))}
    assert {file.name for file in drawn.iterdir()} == shown
