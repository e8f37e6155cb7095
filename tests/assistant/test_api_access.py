"""The guarded door: every route and page, without a login, with the wrong role, from another site."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

import training.api
from assistant import accounts, page, prompt_page
from assistant.accounts import Access
from assistant.base import BaseChoice
from assistant.prompt_bench import PromptBench
from assistant.server import RolePage, Site, make_app
from assistant.turns import Turns
from feedback import conversations
from feedback.home import Home
from feedback.people import ROLES
from feedback.store import Store
from tests.scripted import ScriptedEngine, answering, serving
from training.api import Shop
from training.jobs import Jobs

PASSWORD = "four random words here"
GRADIO_DOORS = [
    ("POST", "gradio_api/queue/join"),
    ("POST", "gradio_api/run/anything"),
    ("POST", "gradio_api/call/anything"),
    ("POST", "gradio_api/upload"),
    ("POST", "gradio_api/reset"),
    ("POST", "gradio_api/vibe-edit"),
    ("POST", "gradio_api/component_server"),
    ("GET", "gradio_api/queue/data"),
    ("GET", "gradio_api/heartbeat/abc"),
    ("GET", "gradio_api/info"),
    ("GET", "gradio_api/startup-events"),
    ("GET", "config"),
    ("GET", "theme.css"),
]


@dataclass
class Served:
    address: str
    app: FastAPI
    store: Store
    tokens: dict[str, str] = field(default_factory=dict)

    def client(self, name: str = "", **headers: str) -> httpx.Client:
        """A client, logged in as `name` when one is given."""
        if name and name not in self.tokens:
            self.tokens[name] = accounts.log_in(self.store, name, PASSWORD)
        cookies = {accounts.COOKIE: self.tokens[name]} if name else {}
        return httpx.Client(base_url=self.address, headers=headers, cookies=cookies, timeout=20)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    import gradio as gr

    home: Path = tmp_path_factory.mktemp("home")
    engine = ScriptedEngine()
    store = answering(home, engine)
    access = Access(store)
    for role in ROLES:
        accounts.add(store, role, [role], PASSWORD)
    with gr.Blocks(analytics_enabled=False) as label:
        gr.Button("Rank").click(lambda: "secret", None, gr.Textbox())
    pages = [
        RolePage("/", "chatter", page.build(store, access.current_user), page.head()),
        RolePage("/label", "labeller", label),
        RolePage("/prompts", "engineer", prompt_page.build(PromptBench(store, engine), access.current_user)),
    ]
    operate = training.api.router(Shop(Home(home), BaseChoice(), Jobs()))
    app = make_app(Turns(store, engine), access, Site(), pages, [operate])
    with serving(app) as address:
        yield Served(address, app, store)


def api_doors(app: FastAPI) -> list[tuple[str, str, str]]:
    """Every method and path of both APIs, with some id in place of each parameter, and whose it is."""
    methods = ("get", "post", "put", "patch", "delete")
    return [
        (method.upper(), path.replace("{", "x_").replace("}", ""), operation["tags"][0])
        for path, item in app.openapi()["paths"].items()
        for method, operation in item.items()
        if method in methods
    ]


def test_every_route_of_the_api_asks_for_a_login(served: Served) -> None:
    doors = api_doors(served.app)
    assert len(doors) > 40
    with served.client() as nobody:
        answers = {door: nobody.request(*door[:2]).status_code for door in doors}
    assert set(answers.values()) == {401}, answers


@pytest.mark.parametrize("role", ROLES)
def test_every_route_of_the_api_opens_to_its_role_and_to_no_other(served: Served, role: str) -> None:
    with served.client(role) as person:
        answers = {door: person.request(*door[:2], json={}).status_code for door in api_doors(served.app)}
    opened = {door[2] for door, status in answers.items() if status != 403}
    closed = {door[2] for door, status in answers.items() if status == 403}
    own = {"Chatter", "OpenAI"} if role == "chatter" else {role.capitalize()}
    assert opened == own | {"Any role"}, answers
    assert closed == {"Chatter", "OpenAI", "Labeller", "Engineer", "Operator"} - own


@pytest.mark.parametrize("mount", ["/", "/label/", "/prompts/"])
@pytest.mark.parametrize(("method", "path"), GRADIO_DOORS)
def test_gradio_has_no_open_door(served: Served, mount: str, method: str, path: str) -> None:
    wrong = "labeller" if mount == "/" else "chatter"
    body = {"data": [], "fn_index": 0, "session_hash": "abc"}
    with served.client() as nobody, served.client(wrong) as other:
        assert nobody.request(method, mount + path, json=body).status_code == 401
        assert other.request(method, mount + path, json=body).status_code == 403


@pytest.mark.parametrize("path", ["/", "/label", "/label/"])
def test_a_person_without_a_login_is_led_to_it_and_back(served: Served, path: str) -> None:
    with served.client(accept="text/html") as browser:
        answer = browser.get(path)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login?next=%2F")
        form = {"name": "labeller", "password": PASSWORD, "next": path}
        landed = browser.post("/login", data=form).headers["location"]
        assert landed == (path if path != "/" else "/label")
        assert browser.get("/label/").status_code == 200


def test_a_person_without_the_role_is_told_so_on_a_page(served: Served) -> None:
    with served.client("chatter", accept="text/html") as browser:
        answer = browser.get("/label/")
        assert answer.status_code == 403
        assert "labeller" in answer.text
        assert browser.get("/").status_code == 200
    with served.client("labeller", accept="text/html") as browser:
        assert browser.get("/").status_code == 403
        assert browser.get("/login").headers["location"] == "/label"


def test_a_conversation_of_another_person_does_not_exist(served: Served) -> None:
    other = accounts.add(served.store, "other", ["chatter"], PASSWORD)
    theirs = conversations.create(served.store, other.id)
    with served.client("chatter") as client:
        assert client.get(f"/api/conversations/{theirs}").status_code == 404
        assert (
            client.post(f"/api/conversations/{theirs}/messages", json={"content": "Mine?"}).status_code == 404
        )
        assert client.delete(f"/api/conversations/{theirs}").status_code == 404


def test_a_name_that_is_made_to_point_here_is_refused(served: Served) -> None:
    with served.client("chatter") as client:
        assert client.get("/api/status", headers={"host": "evil.example"}).status_code == 403
        assert client.get("/api/status", headers={"host": "localhost:1"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_another_sites_page_may_change_nothing(served: Served, headers: dict[str, str]) -> None:
    with served.client("chatter") as client:
        for path in ("/api/conversations", "/logout", "/login", "/gradio_api/queue/join"):
            assert client.post(path, json={}, headers=headers).status_code == 403
        assert client.get("/api/status").status_code == 200


def test_our_own_page_may(served: Served) -> None:
    with served.client("chatter") as client:
        own = {"origin": served.address, "sec-fetch-site": "same-origin"}
        assert client.post("/api/conversations", json={}, headers=own).status_code == 201


def test_the_cookie_is_out_of_reach_and_gone_after_logout(served: Served) -> None:
    with served.client() as client:
        answer = client.post("/login", data={"name": "chatter", "password": PASSWORD})
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        token = client.cookies[accounts.COOKIE]
        client.post("/logout")
        client.cookies.set(accounts.COOKIE, token)
        assert client.get("/api/status").status_code == 401


def test_pages_cannot_be_framed_and_load_nothing_from_elsewhere(served: Served) -> None:
    with served.client("chatter", accept="text/html") as client:
        for path in ("/", "/login", "/api/status"):
            headers = client.get(path).headers
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"


def test_too_many_wrong_passwords_are_refused_for_a_while(served: Served) -> None:
    form = {"name": "operator", "password": "wrong"}
    with served.client() as client:
        codes = [client.post("/login", data=form).status_code for _ in range(11)]
    assert codes[0] == 401
    assert codes[-1] == 429


@pytest.mark.parametrize("body", [b"x" * 5_000_000])
def test_a_body_without_end_is_cut_off(served: Served, body: bytes) -> None:
    with served.client() as client:
        assert client.post("/login", content=body).status_code == 413
