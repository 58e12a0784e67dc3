"""Reading aerofn.toml."""

import pytest

from aerofn import project
from aerofn.errors import SettingsError

GOOD = """
[functions.count-words]
source = "count.js"
timeout_ms = 500
roles = ["authenticated"]

[row_triggers.counted]
function = "count-words"
table = "notes"
events = ["INSERT"]
when = "NEW.body <> ''"
"""


def write(folder, text):
    (folder / "count.js").write_text("export function handler() {}")
    (folder / project.FILE).write_text(text)
    return folder


def test_what_is_declared(tmp_path):
    read = project.read(write(tmp_path, GOOD))
    assert read.functions["count-words"] == project.Function(
        source="count.js", timeout_ms=500, roles=("authenticated",)
    )
    trigger = read.row_triggers["counted"]
    assert (trigger.table, trigger.events, trigger.when) == ("notes", ("INSERT",), "NEW.body <> ''")
    assert read.folder == tmp_path
    assert project.read(tmp_path / project.FILE) == read


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("functions =\n[a]", "line 1"),
        ('[functions.a]\nsorce = "x.js"', "sorce"),
        ('[functions.a]\nsource = "count.js"\ntimeout_ms = "5"', r"timeout_ms"),
        (
            '[functions.a]\nsource = "nowhere.js"',
            r"functions\.a has the source nowhere\.js, which is not there",
        ),
        (GOOD.replace('"count-words"', '"other"'), r"row_triggers\.counted starts function 'other'"),
        ("[cron.a]", "cron"),
        (
            GOOD + '[schedules.counted]\nfunction = "count-words"\ncron = "@daily"',
            "name of row_triggers.counted",
        ),
        ('folder = "/"', "folder"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, said):
    with pytest.raises(SettingsError, match=said) as told:
        project.read(write(tmp_path, text))
    assert str(tmp_path / project.FILE) in told.value.message


def test_a_missing_file_leads_to_init(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read") as told:
        project.read(tmp_path)
    assert "aerofn init" in (told.value.hint or "")
