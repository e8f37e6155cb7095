"""The clients that people have talk to the real server: the official ones, LangChain, LlamaIndex, llm.

Each runs as a program of its own in the environment that `make clients` makes, against a server on a socket
that answers with the embedded model.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from assistant.base import Base
from feedback.home import Home
from tests.served import served

pytestmark = [pytest.mark.clients, pytest.mark.model]

HERE = Path(__file__).parent
CLIENTS = Path(os.environ.get("HONE_CLIENTS", HERE.parent.parent / ".clients")).resolve()
PYTHON = CLIENTS / "venv" / "bin" / "python"
OFFLINE = {"HF_HUB_OFFLINE": "1", "LANGCHAIN_TRACING_V2": "false", "NO_PROXY": "127.0.0.1"}


@pytest.fixture(scope="module")
def address(real_base: Base, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    assert PYTHON.exists(), "The clients are not installed: run `make clients`."
    with served(real_base, Home(tmp_path_factory.mktemp("clients") / "home").path) as server:
        yield server.address


def run(*words: str | Path, **environment: str) -> str:
    """What a client's program writes."""
    env = os.environ | OFFLINE | environment
    done = subprocess.run(
        [str(word) for word in words], env=env, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def official(address: str) -> dict[str, Any]:
    """What the official Python client got."""
    return dict(json.loads(run(PYTHON, HERE / "with_openai.py", address)))


def test_the_official_python_client_chats_and_streams_the_same(official: dict[str, Any]) -> None:
    assert len(official["plain"]) > 10
    assert official["streamed"] == official["plain"] == official["again"]
    assert official["finish"] in ("stop", "length")
    used = official["usage"]
    assert used["total_tokens"] == used["prompt_tokens"] + used["completion_tokens"]
    assert official["stream_usage"]["completion_tokens"] == used["completion_tokens"] > 0


def test_it_goes_on_with_a_conversation_by_sending_the_reply_back(official: dict[str, Any]) -> None:
    assert official["same_conversation"]


def test_it_gets_a_stop_several_replies_and_logprobs(official: dict[str, Any], address: str) -> None:
    """Of several the first has the seed that was asked for. Its words may be others than alone: side by side
    they are rounded otherwise.
    """
    assert official["stopped"] == official["plain"][:3]
    assert len(set(official["several"])) == 3
    written = [httpx.get(f"{address}/api/replies/{one}").json() for one in official["several_ids"]]
    assert [one["settings"]["seed"] for one in written] == [5, 6, 7]
    assert all(nats <= 0 and top == 3 for nats, top in official["logprobs"])


def test_it_gets_json_that_fits_its_schema(official: dict[str, Any]) -> None:
    assert json.loads(official["shaped"])["colour"] in ("blue", "red")


def test_it_can_rate_a_reply_by_its_id(official: dict[str, Any]) -> None:
    assert official["vote"] == {"rating": {"value": 1, "reason": "clear"}}
    assert official["header"].startswith("m_")


def test_it_lists_models_and_completes_text(official: dict[str, Any]) -> None:
    assert {"hone", "hone:cot"} <= set(official["models"])
    assert official["model"] == "hone:cot"
    assert official["legacy"].strip()


def test_it_raises_its_own_errors_for_ours(official: dict[str, Any]) -> None:
    wanted = {
        "unknown_model": ("NotFoundError", 404, "model_not_found", "model"),
        "wrong_schema": ("BadRequestError", 400, None, "response_format"),
        "tools": ("BadRequestError", 400, "unsupported_parameter", "tools"),
        "too_hot": ("BadRequestError", 400, None, "temperature"),
        "embeddings": ("NotFoundError", 404, "not_found", None),
        "wrong_key": ("AuthenticationError", 401, "invalid_api_key", None),
    }
    assert {name: tuple(official[name].values()) for name in wanted} == wanted


def test_the_official_javascript_client_chats_streams_and_is_told_errors(address: str) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    modules = str(CLIENTS / "node_modules")
    got = json.loads(run(node, HERE / "with_openai.cjs", address, NODE_PATH=modules))
    assert got["plain"] == got["streamed"] != ""
    assert got["unknown"] == {"status": 404, "code": "model_not_found"}
    assert httpx.get(f"{address}/api/replies/{got['reply_id']}").json()["settings"]["seed"] == 5


def test_langchain_chats_and_streams(address: str) -> None:
    got = json.loads(run(PYTHON, HERE / "with_langchain.py", address))
    assert got["plain"] == got["streamed"] != ""
    assert got["tokens"] > 0


def test_llama_index_chats_and_streams(address: str) -> None:
    got = json.loads(run(PYTHON, HERE / "with_llama_index.py", address))
    assert got["plain"] == got["streamed"] != ""


def test_llm_chats_streams_and_goes_on(address: str, tmp_path: Path) -> None:
    (tmp_path / "extra-openai-models.yaml").write_text(
        f"- model_id: local-hone\n  model_name: hone\n  api_base: {address}/v1\n", encoding="utf-8"
    )

    def llm(*words: str) -> str:
        environment = {"LLM_USER_PATH": str(tmp_path), "OPENAI_API_KEY": "sk-none"}
        options = ("-m", "local-hone", "-o", "max_tokens", "24", "-o", "seed", "5")
        return run(CLIENTS / "venv" / "bin" / "llm", "prompt", *words, *options, **environment)

    plain = llm("Why is the sky blue?", "--no-stream")
    assert plain.strip()
    assert llm("Why is the sky blue?") == plain
    assert llm("And at night?", "-c").strip()


def test_the_example_in_the_docs_runs_with_the_official_client(address: str) -> None:
    page = (HERE.parent.parent / "docs" / "api.md").read_text("utf-8")
    (example,) = re.findall(r"^```python openai\n(.*?)^```$", page, flags=re.M | re.S)
    assert run(PYTHON, "-c", example.replace("http://127.0.0.1:7860", address)).strip()
