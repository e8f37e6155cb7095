"""Accounts: who may log in, what is kept of a password, and when a session ends."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from assistant import accounts
from assistant.accounts import Access, LoginLimit, TooManyAttemptsError, UnauthenticatedError
from assistant.login import inside
from assistant.user_commands import users
from feedback.errors import ConflictError, ForbiddenError, HoneError, NotFoundError
from feedback.ids import LOCAL_USER
from feedback.store import Store

PASSWORD = "four random words here"


def request(token: str = "", client: str | None = "127.0.0.1") -> SimpleNamespace:
    cookies = {accounts.COOKIE: token} if token else {}
    where = SimpleNamespace(host=client) if client else None
    return SimpleNamespace(headers={}, cookies=cookies, client=where)


def test_the_local_user_has_every_role_until_there_is_an_account(store: Store) -> None:
    access = Access(store)
    assert access.current_user(request()).id == LOCAL_USER
    assert access.find(request(client="192.0.2.7")) is None
    assert access.find(request(client=None)) is None
    accounts.add(store, "ann", ["chatter"], PASSWORD)
    with pytest.raises(UnauthenticatedError):
        access.current_user(request())


def test_disabling_the_last_account_does_not_open_the_server(store: Store) -> None:
    accounts.add(store, "ann", ["operator"], PASSWORD)
    token = accounts.log_in(store, "ann", PASSWORD)
    accounts.disable(store, "ann")
    assert Access(store).find(request(token)) is None
    assert Access(store).find(request()) is None
    with pytest.raises(UnauthenticatedError):
        accounts.log_in(store, "ann", PASSWORD)


def test_a_session_names_its_person_until_they_log_out(store: Store) -> None:
    ann = accounts.add(store, "Ann", ["chatter", "labeller"], PASSWORD)
    token = accounts.log_in(store, "ann", PASSWORD)
    assert Access(store).current_user(request(token, client="192.0.2.7")) == ann
    accounts.log_out(store, token)
    assert Access(store).find(request(token)) is None


def test_a_session_ends_by_itself(store: Store) -> None:
    accounts.add(store, "ann", ["chatter"], PASSWORD)
    token = accounts.log_in(store, "ann", PASSWORD)
    store.execute("UPDATE sessions SET expires_at = '2020-01-01T00:00:00.000Z'")
    assert accounts.session_user(store, token) is None


def test_neither_password_nor_token_can_be_read_from_the_store(store: Store) -> None:
    accounts.add(store, "ann", ["chatter"], PASSWORD)
    token = accounts.log_in(store, "ann", PASSWORD)
    kept = "\n".join(
        str(tuple(row))
        for table in ("users", "sessions", "audit_log")
        for row in store.rows(f"SELECT * FROM {table}")
    )
    assert PASSWORD not in kept
    assert token not in kept
    assert "$argon2id$" in kept


def test_a_wrong_name_and_a_wrong_password_get_the_same_words(store: Store) -> None:
    accounts.add(store, "ann", ["chatter"], PASSWORD)
    said = []
    for name, password in (("ann", "not the password"), ("bob", PASSWORD), ("local", ""), ("hone", "")):
        with pytest.raises(UnauthenticatedError) as error:
            accounts.log_in(store, name, password)
        said.append(str(error.value))
    assert len(set(said)) == 1


def test_each_role_opens_only_its_own_doors(store: Store) -> None:
    accounts.add(store, "ann", ["labeller"], PASSWORD)
    asked = request(accounts.log_in(store, "ann", PASSWORD))
    assert Access(store).require("labeller")(asked).name == "ann"
    for role in ("chatter", "operator"):
        with pytest.raises(ForbiddenError):
            Access(store).require(role)(asked)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "roles", "password", "error"),
    [
        ("", ["chatter"], PASSWORD, HoneError),
        ("a" * 65, ["chatter"], PASSWORD, HoneError),
        ("a\nb", ["chatter"], PASSWORD, HoneError),
        ("ann", [], PASSWORD, HoneError),
        ("ann", ["king"], PASSWORD, HoneError),
        ("ann", ["chatter"], "short", HoneError),
        ("ann", ["chatter"], "x" * 2000, HoneError),
        ("LOCAL", ["chatter"], PASSWORD, ConflictError),
    ],
)
def test_an_account_that_cannot_be_is_refused_with_a_reason(
    store: Store, name: str, roles: list[str], password: str, error: type[HoneError]
) -> None:
    with pytest.raises(error):
        accounts.add(store, name, roles, password)
    assert not accounts.exist(store)


def test_guessing_is_slowed_down_and_forgiven_after_a_while() -> None:
    time = [0.0]
    limit = LoginLimit(most=3, window_s=60, clock=lambda: time[0])
    for _ in range(3):
        limit.check("ann")
        limit.failed("ann")
    with pytest.raises(TooManyAttemptsError):
        limit.check("ann")
    limit.check("bob")
    time[0] = 61.0
    limit.check("ann")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "example.org", "::"])
def test_listening_beyond_this_machine_needs_an_account(store: Store, host: str) -> None:
    with pytest.raises(HoneError, match="without accounts"):
        accounts.check_host(store, host)
    accounts.add(store, "ann", ["operator"], PASSWORD)
    accounts.check_host(store, host)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.8.9.1", "::ffff:127.0.0.1"])
def test_this_machine_has_many_names(store: Store, host: str) -> None:
    accounts.check_host(store, host)


@given(st.text())
def test_a_login_never_leads_to_another_site(target: str) -> None:
    after = inside(target)
    assert after.startswith("/")
    assert not after.startswith(("//", "/\\"))


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil.example", "", "x", "/login?next=/"]
)
def test_a_target_that_is_not_ours_becomes_the_start_page(target: str) -> None:
    assert inside(target) == "/"


def test_the_command_line_makes_lists_and_disables_accounts(tmp_path: Path) -> None:
    def hone(*words: str, typed: str = "") -> tuple[int, str]:
        result = CliRunner().invoke(users, [*words, "--home", str(tmp_path)], input=typed)
        return result.exit_code, result.output

    code, said = hone(
        "add", "ann", "--role", "operator", "--role", "chatter", typed=f"{PASSWORD}\n{PASSWORD}\n"
    )
    assert (code, PASSWORD in said) == (0, False)
    assert "ann: chatter, operator" in hone("list")[1]
    assert hone("disable", "ann")[0] == 0
    assert "(disabled)" in hone("list")[1]
    assert hone("disable", "bob")[0] == 2


def test_nobody_can_be_disabled_who_has_no_account(store: Store) -> None:
    with pytest.raises(NotFoundError):
        accounts.disable(store, "local")
