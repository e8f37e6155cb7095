"""Strategies as files: in from a file, a folder or a zip, out to the same. Knows no store.

One step is `NAME.jinja`, a chain is a folder `NAME/`; a folder or a zip may hold many. What cannot be used is
refused with its file and line before anything is kept.
"""

import io
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from feedback.errors import ConflictError, HoneError
from feedback.whole_files import write_aside
from prompts.library import MOST_CHARS, check_files, check_name
from prompts.strategy import CHAIN_FILE, Strategy, parse

SUFFIX = ".jinja"
MOST_ZIP_BYTES = 4 * 1024 * 1024
MOST_ZIP_FILES = 1000
OLDEST_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Source:
    """The files of one strategy, as they were found."""

    name: str
    files: Mapping[str, str]


def read(path: Path) -> list[Source]:
    """The strategies at `path`: a template, a chain's folder, a zip, or a folder of any of the first two.

    Each is parsed once, so that a bad file is refused here. Raises HoneError, with file and line.
    """
    if path.is_dir():
        inside = sorted(
            [*path.glob("*"), *path.glob("*/*")]
        )  # no deeper: a home folder may be named by mistake
        found = [(str(file.relative_to(path)), file) for file in inside if file.is_file()]
        texts = {
            name.replace(os.sep, "/"): _text(name, _bytes(file)) for name, file in found if _wanted(name)
        }
        chain = CHAIN_FILE in texts
        return _checked(
            sources({f"{path.resolve().name}/{n}": t for n, t in texts.items()} if chain else texts)
        )
    return from_bytes(path.name, _bytes(path))


def from_bytes(file_name: str, content: bytes) -> list[Source]:
    """The strategies in one file: a template or a zip. Raises HoneError, with file and line."""
    if file_name.endswith(".zip"):
        return _checked(sources(dict(_unzipped(content))))
    if not file_name.endswith(SUFFIX):
        raise HoneError(
            f"{file_name} cannot be imported.",
            f"A strategy is a {SUFFIX} file, the folder of a chain, or a zip of these.",
            "Choose one of them.",
        )
    return _checked(sources({file_name: _text(file_name, content)}))


def sources(texts: Mapping[str, str]) -> list[Source]:
    """Pure: path -> text, sorted into strategies: `NAME.jinja` anywhere, and folders with a strategy.yaml."""
    by_folder: dict[PurePosixPath, dict[str, str]] = {}
    for path, text in sorted(texts.items()):
        by_folder.setdefault(PurePosixPath(path).parent, {})[PurePosixPath(path).name] = text
    found: list[Source] = []
    for folder, files in by_folder.items():
        if CHAIN_FILE in files:
            found.append(Source(folder.name, files))
        else:
            found += [Source(n.removesuffix(SUFFIX), {n: t}) for n, t in files.items() if n.endswith(SUFFIX)]
    return sorted(found, key=lambda source: source.name)


def _checked(found: Sequence[Source]) -> list[Source]:
    if not found:
        raise HoneError("There is no strategy here.", f"No {SUFFIX} file was found.", "Choose another place.")
    seen: set[str] = set()
    for source in found:
        check_name(source.name)
        if source.name in seen:
            raise HoneError(f"There are two strategies called {source.name}.", todo="Import one of them.")
        seen.add(source.name)
        parse(source.name, check_files(source.files))
    return list(found)


def write(folder: Path, strategy: Strategy) -> Path:
    """Write a strategy under `folder`; returns its file or its chain's folder.

    ConflictError when something else stands there: an export never overwrites what it did not write.
    """
    chain = len(strategy.files) > 1
    place = folder / strategy.name if chain else folder / strategy.files[0][0]
    wanted = {(place / name if chain else place): text for name, text in strategy.files}
    for file, text in wanted.items():
        if file.exists() and (not file.is_file() or file.read_bytes() != text.encode()):
            raise ConflictError(
                f"{file} is there already.", "It holds something else.", "Move it away, or choose --to."
            )
    for file, text in wanted.items():
        write_aside(file, text)  # a line end stays what it is: the version hangs on it
    return place


def zipped(strategies: Sequence[Strategy]) -> bytes:
    """The strategies as one zip. The same ones always give the same bytes."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for strategy in strategies:
            for name, text in strategy.files:
                path = f"{strategy.name}/{name}" if len(strategy.files) > 1 else name
                archive.writestr(zipfile.ZipInfo(path, OLDEST_ZIP_DATE), text.encode())
    return target.getvalue()


def _unzipped(content: bytes) -> Iterator[tuple[str, str]]:
    """Path -> text of each file that a strategy may have. Nothing is written, so no path leads anywhere."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
        inside = [one for one in archive.infolist() if not one.is_dir() and _wanted(one.filename)]
        if len(inside) > MOST_ZIP_FILES or sum(one.file_size for one in inside) > MOST_ZIP_BYTES:
            raise HoneError("The zip is too large.", todo="Import its strategies one by one.")
        for one in inside:
            with archive.open(one) as file:
                yield one.filename, _text(one.filename, file.read(MOST_CHARS * 4 + 1))
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError) as error:
        raise HoneError("The zip cannot be read.", f"It says: {error}.", "Make it anew.") from error


def _wanted(path: str) -> bool:
    name = PurePosixPath(path.replace(os.sep, "/")).name
    return not name.startswith(".") and (name.endswith(SUFFIX) or name == CHAIN_FILE)


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MOST_ZIP_BYTES + 1)
    except OSError as error:
        raise HoneError(
            f"{path} cannot be read.", f"The system says: {error.strerror or error}.", "Choose another."
        ) from error


def _text(name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8").replace("\r\n", "\n")  # as Python reads a text file
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise HoneError(
            f"The template {name} cannot be used.", f"Line {line}: it is not UTF-8.", "Save it as UTF-8."
        ) from error
