"""Writes the table of routes into docs/api.md, from the routes' own first sentences.

`python docs/routes.py` rewrites it; with `--check` it only says by its exit code whether it is true.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "api.md"
BEGIN, END = "<!-- routes: written by docs/routes.py -->", "<!-- end of routes -->"
sys.path.insert(0, str(ROOT))

from fastapi import FastAPI  # noqa: E402 - a script outside the package finds the rooms only now
from generated import between, first_sentence, keep  # noqa: E402

from assistant import api, openai_api  # noqa: E402
from assistant.base import BaseChoice  # noqa: E402
from assistant.described import describe  # noqa: E402
from feedback.home import Home  # noqa: E402
from training.api import Shop  # noqa: E402
from training.api import router as operator_api  # noqa: E402
from training.jobs import Jobs  # noqa: E402


def table() -> str:
    """One line a route: method, path, whose it is, what it does."""
    app = FastAPI()
    for router in (openai_api.router(), api.router, operator_api(Shop(Home(ROOT), BaseChoice(), Jobs()))):
        app.include_router(router)
    lines = ["| route | for | what it does |", "|---|---|---|"]
    for path, methods in describe(app)["paths"].items():
        for method, operation in methods.items():
            first = first_sentence(operation["description"])
            lines.append(f"| `{method.upper()} {path}` | {operation['x-hone-role']} | {first} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(keep(PAGE, between(PAGE, BEGIN, END, table())))
