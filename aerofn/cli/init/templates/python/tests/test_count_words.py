"""The same cases as in count-words.test.toml, in Python; run both with `pytest`."""


def test_a_new_note_is_counted(function, db):
    note = db.row("INSERT INTO notes (body) VALUES ('the quick brown fox') RETURNING *")
    result = function("count-words").row(note)
    assert result.value == {"words": 4}
    assert result.logs == [f"note {note['id']} has 4 words"]
    assert db.row("SELECT words FROM notes") == {"words": 4}


def test_who_may_not_change_notes_cannot_have_them_counted(function, db):
    note = db.row("INSERT INTO notes (body) VALUES ('the quick brown fox') RETURNING *")
    result = function("count-words").row(note, role="anon")
    assert "permission denied" in result.error.message
