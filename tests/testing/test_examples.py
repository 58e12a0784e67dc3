"""The examples' own cases, on a real database."""

from pathlib import Path
from typing import Any

import pytest

from aerofn.testing import Bench
from aerofn.testing.cases import find_cases, read_cases

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("file", find_cases(EXAMPLES), ids=lambda file: file.parent.name)
def test_its_cases(file: Path, module_database: Any) -> None:
    with Bench(file.parent, module_database.url) as bench:
        for case in read_cases(file):
            case.run(bench)
