"""The shape of the house: who may import whom, what an import may cost, and that the docs are true."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("feedback", "prompts", "assistant", "training", "app")
HEAVY = ("pandas", "torch", "transformers", "trl", "peft", "gradio", "bitsandbytes", "datasets")


def modules() -> list[Path]:
    return [file for room in ROOMS[:-1] for file in sorted((ROOT / room).rglob("*.py"))] + [ROOT / "app.py"]


def imported(file: Path) -> set[str]:
    """The top-level names that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(ROOT)))
def test_a_room_imports_only_from_rooms_to_its_left(file: Path) -> None:
    room = file.relative_to(ROOT).parts[0].removesuffix(".py")
    later = set(ROOMS[ROOMS.index(room) + 1 :])
    assert not imported(file) & later


def test_the_memory_and_the_prompts_never_import_torch() -> None:
    for file in modules():
        if file.relative_to(ROOT).parts[0] in ("feedback", "prompts"):
            assert not imported(file) & {"torch", "transformers", "trl", "peft"}, file


def test_the_command_line_starts_without_anything_heavy() -> None:
    code = f"import sys, app; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_serving_process_never_imports_the_trainers() -> None:
    """Runs are started as processes; only the worker may open TRL, and what trains in it."""
    users = [file.name for file in modules() if imported(file) & {"trl", "datasets", "accelerate"}]
    code = "import sys, app, training.page; print('trl' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    trainers = ["answering.py", "crew.py", "launcher.py", "reward_model.py", "rlhf.py", "scratch.py"]
    assert sorted(users) == [*trainers, "shared_prompts.py", "trainers.py"]


def test_every_module_opens_by_saying_what_it_is_for() -> None:
    silent = [str(file) for file in modules() if not ast.get_docstring(ast.parse(file.read_text("utf-8")))]
    assert silent == []


def test_the_architecture_tells_every_module_and_its_job() -> None:
    done = subprocess.run([sys.executable, "docs/tree.py", "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0, "docs/architecture.md is out of date: run python docs/tree.py"


def test_the_command_reference_is_what_the_commands_say() -> None:
    done = subprocess.run([sys.executable, "docs/commands.py", "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0, "docs/commands.md is out of date: run python docs/commands.py"


def test_readme_names_every_file_and_folder_of_the_top_level() -> None:
    told = (ROOT / "README.md").read_text(encoding="utf-8")
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    tops = {name.split("/")[0] for name in tracked if not name.startswith(".")} - {"README.md"}
    assert [top for top in sorted(tops) if top not in told] == []
