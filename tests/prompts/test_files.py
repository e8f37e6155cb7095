"""Strategies in and out as files: what goes out comes in the same; what is bad is refused with its line."""

import io
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.errors import ConflictError, HoneError
from prompts import files
from prompts.plain import SHIPPED, shipped
from prompts.strategy import load
from tests.prompts.ground import NAME, source


def test_what_is_exported_comes_back_as_the_same_version(tmp_path: Path) -> None:
    for strategy in shipped().values():
        files.write(tmp_path, strategy)
    assert load(tmp_path) == shipped()
    found = {one.name: dict(one.files) for one in files.read(tmp_path)}
    assert found == {one.name: dict(one.files) for one in shipped().values()}


def test_a_zip_holds_the_same_and_is_the_same_each_time() -> None:
    everything = list(shipped().values())
    content = files.zipped(everything)
    assert content == files.zipped(everything)
    found = {one.name: dict(one.files) for one in files.from_bytes("prompts.zip", content)}
    assert found == {one.name: dict(one.files) for one in everything}


def test_one_file_one_chain_or_a_folder_of_both_can_be_read() -> None:
    assert [one.name for one in files.read(SHIPPED / "few-shot.jinja")] == ["few-shot"]
    assert [one.name for one in files.read(SHIPPED / "chain")] == ["chain"]
    assert [one.name for one in files.read(SHIPPED)] == sorted(shipped())


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("answers.jinja", b"{{ question }}", r"answers\.jinja cannot be used\. Line 1: .*front matter"),
        ("answers.jinja", b"---\ntitle: x\n\xff", r"Line 3: it is not UTF-8"),
        ("answers.txt", b"x", "cannot be imported"),
        ("Answers.jinja", b"x", "cannot be a strategy's name"),
        ("prompts.zip", b"PK no zip", "zip cannot be read"),
    ],
)
def test_a_bad_file_is_refused_in_words(name: str, content: bytes, said: str) -> None:
    with pytest.raises(HoneError, match=said):
        files.from_bytes(name, content)


def zip_of(**texts: str) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, text in texts.items():
            archive.writestr(name.replace("__", "/").replace("_jinja", ".jinja"), text)
    return target.getvalue()


def test_a_path_in_a_zip_names_a_strategy_and_leads_nowhere(tmp_path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(f"../../{NAME}.jinja", source()[f"{NAME}.jinja"])
    (found,) = files.from_bytes("x.zip", content.getvalue())
    assert (found.name, found.files) == (NAME, source())


def test_two_strategies_of_one_name_are_refused() -> None:
    text = source()[f"{NAME}.jinja"]
    with pytest.raises(HoneError, match="two strategies called"):
        files.from_bytes("x.zip", zip_of(a__answers_jinja=text, b__answers_jinja=text))


def test_a_zip_that_would_swell_is_refused() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jinja", "x" * (files.MOST_ZIP_BYTES + 1))
    with pytest.raises(HoneError, match="too large"):
        files.from_bytes("x.zip", content.getvalue())


@given(st.binary(max_size=200))
def test_no_bytes_are_ever_a_crash(content: bytes) -> None:
    for name in ("x.zip", "x.jinja"):
        with suppress(HoneError):
            assert files.from_bytes(name, content)


def test_an_export_overwrites_nothing_that_it_did_not_write(tmp_path: Path) -> None:
    strategy = shipped()["chain"]
    files.write(tmp_path, strategy)
    files.write(tmp_path, strategy)  # the same again is no harm
    (tmp_path / "chain" / "reply.jinja").write_text("mine")
    with pytest.raises(ConflictError, match="there already"):
        files.write(tmp_path, strategy)
    assert (tmp_path / "chain" / "reply.jinja").read_text() == "mine"
