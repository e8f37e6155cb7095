"""API keys: shown once, kept as a hash, as strong as their person at most, ended for good; and the door."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from app import cli
from assistant import accounts, keys
from assistant.accounts import Access
from assistant.server import Site, make_app
from assistant.turns import Turns
from feedback import audit
from feedback.errors import ConflictError, HoneError, NotFoundError
from feedback.ids import LOCAL_USER
from feedback.store import Store
from tests.scripted import ScriptedEngine, answering, serving

PASSWORD = "four random words here"
FOREIGN = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
ASKED = {"messages": [{"role": "user", "content": "Why?"}]}


@dataclass
class Served:
    address: str
    store: Store

    def client(self, key: str = "", **headers: str) -> httpx.Client:
        given = {"authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=self.address, headers=given | headers, timeout=20)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    engine = ScriptedEngine()
    store = answering(tmp_path, engine)
    with serving(make_app(Turns(store, engine), Access(store), Site(), [])) as address:
        yield Served(address, store)


def test_a_key_is_shown_once_and_only_its_hash_is_kept(store: Store) -> None:
    key, text = keys.add(store, "script", ["chatter"])
    assert text.startswith("hone-")
    assert keys.user_of(store, text) is not None
    kept = json.dumps([dict(row) for row in store.rows("SELECT * FROM api_keys")])
    assert text not in kept
    assert text not in json.dumps([entry.detail for entry in audit.entries(store)])
    assert keys.listing(store) == [key]


def test_a_revoked_key_opens_nothing_and_both_deeds_are_in_the_audit_log(store: Store) -> None:
    _, text = keys.add(store, "script", ["chatter"])
    keys.revoke(store, "script")
    assert keys.user_of(store, text) is None
    assert [entry.action for entry in audit.entries(store)] == ["key.revoke", "key.add"]
    with pytest.raises(ConflictError):
        keys.revoke(store, "script")
    with pytest.raises(NotFoundError):
        keys.revoke(store, "other")


def test_a_key_can_do_no_more_than_its_person(store: Store) -> None:
    accounts.add(store, "ann", ["chatter", "labeller"], PASSWORD)
    with pytest.raises(HoneError, match="operator"):
        keys.add(store, "script", ["operator"], "ann")
    _, text = keys.add(store, "script", ["chatter"], "Ann")
    user = keys.user_of(store, text)
    assert user is not None
    assert (user.name, user.roles) == ("ann", frozenset(["chatter"]))
    accounts.disable(store, "ann")
    assert keys.user_of(store, text) is None


def test_with_accounts_a_key_needs_its_person_and_the_local_users_keys_end(store: Store) -> None:
    _, text = keys.add(store, "early", ["operator"])
    accounts.add(store, "ann", ["chatter"], PASSWORD)
    assert keys.user_of(store, text) is None
    with pytest.raises(HoneError, match="whose key"):
        keys.add(store, "late", ["chatter"])
    with pytest.raises(NotFoundError):
        keys.add(store, "late", ["chatter"], "bob")


@pytest.mark.parametrize("name", ["", "  ", "x" * 65, "a\nb"])
def test_a_key_has_a_printable_name_that_is_not_taken(store: Store, name: str) -> None:
    with pytest.raises(HoneError):
        keys.add(store, name, ["chatter"])
    keys.add(store, "script", ["chatter"])
    with pytest.raises(ConflictError):
        keys.add(store, "Script", ["chatter"])


def test_the_commands_make_list_and_revoke(tmp_path: Path) -> None:
    def run(*words: str) -> str:
        done = CliRunner().invoke(cli, ["keys", *words, "--home", str(tmp_path)])
        assert done.exit_code == 0, done.output
        return done.output

    key = json.loads(run("add", "script", "--role", "chatter", "--json"))["key"]
    shown = run("list")
    assert "script: local, chatter" in shown
    assert key not in shown
    run("revoke", "script")
    assert "revoked" in run("list")


def test_without_accounts_no_key_is_needed_and_one_that_is_not_ours_is_ignored(served: Served) -> None:
    for key in ("", "sk-none"):
        with served.client(key) as client:
            assert client.get("/v1/models").status_code == 200
            assert client.get("/api/status").json()["user"]["id"] == LOCAL_USER


def test_with_accounts_only_a_key_or_a_login_opens(served: Served) -> None:
    accounts.add(served.store, "ann", ["chatter", "labeller"], PASSWORD)
    _, text = keys.add(served.store, "script", ["chatter"], "ann")
    for wrong in ("", "sk-none", "hone-unknown"):
        with served.client(wrong) as client:
            error = client.post("/v1/chat/completions", json=ASKED)
            assert error.status_code == 401
            assert error.json()["error"]["code"] == "invalid_api_key"
            assert client.get("/api/status").status_code == 401
    with served.client(text) as client:
        assert client.post("/v1/chat/completions", json=ASKED).status_code == 200
        assert client.get("/api/status").json()["user"]["name"] == "ann"
        refused = client.get("/api/tasks/next")
        assert refused.status_code == 403  # the key is no labeller's, though ann is
        said = refused.json()["error"]["message"]
        assert "The API key script has chatter." in said
        assert "`hone keys add NAME --role labeller --user ann`" in said
    keys.revoke(served.store, "script")
    with served.client(text) as client:
        assert client.get("/v1/models").status_code == 401


def test_an_unknown_key_is_refused_even_where_none_is_needed(served: Served) -> None:
    with served.client("hone-unknown") as client:
        assert client.get("/v1/models").status_code == 401


def test_a_key_works_from_any_page_but_without_cors(served: Served) -> None:
    _, text = keys.add(served.store, "script", ["chatter"])
    with served.client(text, **FOREIGN) as client:
        answer = client.post("/v1/chat/completions", json=ASKED)
        assert answer.status_code == 200
        assert "access-control-allow-origin" not in answer.headers
        assert client.post("/api/conversations", json={}).status_code == 201
        assert client.post("/logout").status_code == 403  # no part of an API


@pytest.mark.parametrize("key", ["", "sk-none"])
def test_another_sites_page_gets_nowhere_without_a_key(served: Served, key: str) -> None:
    with served.client(key, **FOREIGN) as client:
        assert client.post("/v1/chat/completions", json=ASKED).status_code == 403


def test_a_cookie_opens_nothing_beside_a_wrong_key(served: Served) -> None:
    accounts.add(served.store, "ann", ["chatter"], PASSWORD)
    token = accounts.log_in(served.store, "ann", PASSWORD)
    with served.client("hone-wrong", **FOREIGN) as client:
        client.cookies.set(accounts.COOKIE, token)
        assert client.post("/v1/chat/completions", json=ASKED).status_code == 401


def test_a_name_that_is_made_to_point_here_is_refused_with_a_key_too(served: Served) -> None:
    _, text = keys.add(served.store, "script", ["chatter"])
    with served.client(text, host="evil.example") as client:
        assert client.get("/v1/models").status_code == 403
