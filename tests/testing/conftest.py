"""Benches of the tests keep what they compile where all tests do."""

from collections.abc import Iterator

import pytest

from tests.conftest import compiled


@pytest.fixture(scope="module", autouse=True)
def compiled_together() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AEROFN_CACHE_DIR", str(compiled()))
        yield
