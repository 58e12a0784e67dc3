"""No block of the documentation is only there to be read: a test runs it, or the page says why none does.

A block is written to a file and built (`file=`), has its own mark, or is of a language that a test takes the page's
blocks of.
"""

import pytest

from .blocks import blocks
from .reader import ROOT

SHOWN = {"text", "json"}  # what something prints; compared where it is not different each time
PARSED = {
    "js"
}  # by test_pages.py, on every page; whole functions by tests/build/test_packages.py, against the types
TAKEN = {
    "README.md": {"sh", "sql"},  # test_readme.py
    "cli.md": {"sh"},  # test_cli_page.py, against the commands and their options
    "c-and-rust.md": {"c", "sh"},  # test_languages.py, test_rust.py
    "from-graphile-worker.md": {"sh", "sql"},  # test_guides.py
    "from-hasura.md": {"sh", "sql"},
    "from-supabase.md": {"sh", "sql"},
    "http-api.md": {"sh"},  # test_pages.py; its client: tests/integration/test_functions_js.py
    "javascript.md": {"ts"},  # tests/build/test_packages.py
    "project.md": {"toml", "sh"},  # test_project.py
    "reach.md": {"sql"},  # test_reference.py
    "python.md": {"python"},  # test_languages.py
    "schedules-and-webhooks.md": {"sh", "sql"},  # test_schedules_and_webhooks.py
    "sql-api.md": {"sql"},  # test_reference.py
    "testing.md": {"toml", "python"},  # test_languages.py
    "troubleshooting.md": {"sh"},  # test_cli_page.py, against the commands and their options
}


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda p: p.stem
)
def test_something_runs_it(page):
    taken = SHOWN | PARSED | TAKEN.get(page.name, set())
    unseen = [block for block in blocks(page) if not (block.mark or block.file or block.language in taken)]
    assert unseen == []


def test_what_is_said_to_run_a_block_is_there():
    for page in (ROOT / "docs").glob("*.md"):
        for line in page.read_text().splitlines():
            if line.startswith("<!-- run: tests/"):
                assert (ROOT / line.removeprefix("<!-- run: ").removesuffix(" -->")).is_file(), line
