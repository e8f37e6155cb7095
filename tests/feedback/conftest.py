"""Every test of the memory gets an empty store in a home of its own."""

import pytest

from tests import build


@pytest.fixture
def store(tmp_path):
    return build.store(tmp_path)
