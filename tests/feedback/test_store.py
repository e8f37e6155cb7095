"""What a store says, and how it goes on, when the disc has no room or a commit is refused."""

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from feedback.errors import FullDiscError, HoneError
from feedback.store import Store, now

WRITE = "INSERT INTO users (id, name, roles_json, created_at) VALUES (?, ?, '[]', ?)"


def written(store: Store) -> list[str]:
    """Who is in the store for every other process: what is committed."""
    other = sqlite3.connect(store.path)
    try:
        return [
            name for (name,) in other.execute("SELECT name FROM users WHERE id LIKE 'person-%' ORDER BY id")
        ]
    finally:
        other.close()


def write(store: Store, number: int, name: str = "") -> None:
    store.execute(WRITE, f"person-{number:04}", name or f"somebody {number}", now())


def fill(store: Store, begin: int) -> None:
    for number in range(begin, begin + 500):
        write(store, number, f"somebody {number} " + "x" * 200)


def test_a_full_disc_is_told_by_whatever_writes_and_nothing_of_it_stays(store: Store) -> None:
    pages = store.row("PRAGMA page_count")[0]
    store.row(f"PRAGMA max_page_count = {pages + 4}")
    with pytest.raises(FullDiscError, match=r"The disc is full.*Free some space"):
        fill(store, 1000)
    kept = len(written(store))
    with pytest.raises(FullDiscError), store.transaction():
        fill(store, 2000)
    assert len(written(store)) == kept
    store.row(f"PRAGMA max_page_count = {pages + 4000}")
    with store.transaction():
        write(store, 3000)
    assert written(store)[-1] == "somebody 3000"


def orphan(store: Store) -> None:
    """What only the commit refuses."""
    with store.transaction():
        write(store, 1)
        store.execute("PRAGMA defer_foreign_keys = ON")
        store.execute("INSERT INTO sessions VALUES ('t', 'nobody', '', '')")


OPEN = "import sys; from pathlib import Path; from feedback.store import Store; Store(Path(sys.argv[1]))"


def test_a_store_that_several_processes_open_first_is_made_once(tmp_path: Path) -> None:
    for number in range(3):
        file = str(tmp_path / str(number) / "hone.db")
        opened = [subprocess.Popen([sys.executable, "-c", OPEN, file]) for _ in range(4)]
        assert [one.wait(60) for one in opened] == [0] * 4


def test_a_store_beside_which_nothing_can_be_written_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "hone.db.lock").mkdir()
    with pytest.raises(HoneError, match=r"cannot be opened.*Is a directory.*choose another home"):
        Store(tmp_path / "hone.db")


def test_after_a_commit_that_was_refused_what_is_written_next_is_kept(store: Store) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        orphan(store)
    assert written(store) == []
    with store.transaction():
        write(store, 2)
    write(store, 3)
    assert written(store) == ["somebody 2", "somebody 3"]


def test_threads_that_come_and_go_share_connections_and_see_what_was_written(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda *args, **more: (opened.append(1), connect(*args, **more))[1]
    )
    seen: list[int] = []

    def work(number: int) -> None:
        with store.transaction():
            write(store, number)
        seen.append(store.row("SELECT COUNT(*) FROM users WHERE id LIKE 'person-%'")[0])
        store.release()

    for number in range(5):
        thread = threading.Thread(target=work, args=(number,))
        thread.start()
        thread.join()
    assert (seen, len(opened)) == ([1, 2, 3, 4, 5], 1)


def test_a_closed_store_is_one_whole_file(tmp_path: Path) -> None:
    store = Store(tmp_path / "hone.db")

    def work() -> None:
        write(store, 1)
        store.release()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert Path(f"{store.path}-wal").stat().st_size > 0
    store.close()
    assert not Path(f"{store.path}-wal").exists()
