"""Models for the tests: the real one, unpacked once into a cache, and one so small that it loads in
milliseconds.
"""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from assistant.base import Base, BaseChoice
from feedback.home import Home
from feedback.store import Store
from tests import build, tiny_models

if "PYTEST_XDIST_WORKER" in os.environ:
    # Threads of a tiny model only wait for each other, for seconds where other tests share the cores.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# How long one example takes says nothing where another test computes beside it.
settings.register_profile("beside others", deadline=None)
settings.load_profile("beside others")

pytest.register_assert_rewrite(
    "tests.assistant.engine_contract", "tests.assistant.schema_contract", "tests.peers.ground"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The real model first, all else in its order: at the end one worker would wait minutes for the other,
    and on a first run both would unpack it.
    """
    items.sort(key=lambda item: item.get_closest_marker("model") is None)


@pytest.fixture(scope="session")
def prepared_home() -> Home:
    """A home that keeps the unpacked embedded model between test runs. Put nothing else there."""
    default = Path(__file__).parent.parent / ".cache" / "tests"
    return Home(Path(os.environ.get("HONE_TEST_CACHE", default)).resolve() / "home")


@pytest.fixture(scope="session")
def real_base(prepared_home: Home) -> Base:
    """The embedded model. Mark tests that use it with `model`."""
    from assistant import base

    return base.resolve(prepared_home, BaseChoice(quantize="none"))


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """A random two-layer Llama with a chat template, in float32 on the CPU."""
    return tiny_models.tiny_base(tmp_path_factory.mktemp("tiny") / "tiny-llama")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def store(home: Home) -> Store:
    return build.empty_store(home.store_file)
