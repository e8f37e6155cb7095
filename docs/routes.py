"""Writes the table of routes into docs/api.md, from the routes' own first sentences.

`python docs/routes.py` rewrites it; with `--check` it only says by its exit code whether it is true.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "api.md"
BEGIN, END = "<!-- routes: written by docs/routes.py -->", "<!-- end of routes -->"
sys.path.insert(0, str(ROOT))

from fastapi import FastAPI  # noqa: E402 - a script outside the package finds the rooms only now

from assistant import api, openai_api  # noqa: E402
from assistant.base import BaseChoice  # noqa: E402
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
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            told = " ".join(operation["description"].split())
            first = re.split(r"(?<=\.)\s(?=[A-Z`])", told, maxsplit=1)[0]
            who = operation["tags"][0].lower().replace("openai", "chatter")
            lines.append(f"| `{method.upper()} {path}` | {who} | {first} |")
    return "\n".join(lines)


def main() -> int:
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    true = f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"
    if "--check" in sys.argv:
        return int(page != true)
    PAGE.write_text(true, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
