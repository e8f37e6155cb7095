"""docs/api.md is true: every route stands in it, and every example runs as it stands there."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from assistant.accounts import Access
from assistant.base import Base, BaseChoice
from assistant.engines.torch_engine import TorchEngine
from assistant.server import Site, make_app
from assistant.turns import Turns
from feedback import label
from feedback.home import Home
from tests import training_ground
from tests.scripted import serving
from training import api as operator_api
from training.api import Shop
from training.jobs import Jobs

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "api.md"
ADDRESS = "http://127.0.0.1:7860"
EXAMPLES = re.findall(r"^```(sh|python)\n(.*?)^```$", PAGE.read_text("utf-8"), flags=re.M | re.S)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, tiny_base: Base) -> Iterator[str]:
    """A server with votes to train on, and branches to label, that answers with a tiny model."""
    home = Home(tmp_path_factory.mktemp("docs") / "home")
    ground = training_ground.ground(home, tiny_base)
    engine = TorchEngine(ground.base, home)
    turns = Turns(ground.store, engine)
    shop = Shop(home, BaseChoice(str(ground.base.folder), "none"), Jobs())
    label.enqueue_branches(ground.store)
    with serving(make_app(turns, Access(ground.store), Site(), [], [operator_api.router(shop)])) as at:
        yield at
    engine.close()


def test_the_page_names_every_route() -> None:
    done = subprocess.run([sys.executable, "docs/routes.py", "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0, "docs/api.md is out of date: run python docs/routes.py"


def test_the_page_has_examples_of_both_kinds() -> None:
    assert {kind for kind, _ in EXAMPLES} == {"sh", "python"}
    assert len(EXAMPLES) >= 7


@pytest.mark.parametrize(
    ("kind", "text"), EXAMPLES, ids=[f"{n}-{kind}" for n, (kind, _) in enumerate(EXAMPLES)]
)
def test_an_example_runs_as_it_stands(address: str, kind: str, text: str) -> None:
    if kind == "sh" and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    program = [sys.executable, "-c"] if kind == "python" else ["sh", "-ec"]
    command = [*program, text.replace(ADDRESS, address)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()
