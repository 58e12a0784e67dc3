"""Functions under test: what they did is told, what they wrote is gone afterwards, their rights are PostgreSQL's."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from aerofn.errors import AeroFnError, MigrationError, NotFound, SettingsError
from aerofn.testing import Bench, Db, Runnable
from aerofn.testing.cases import find_cases, read_cases

SOURCE = """\
const cases = {
  async write({ text }) {
    await db.query("INSERT INTO notes (owner, body) VALUES (auth.uid(), $1)", [text]);
    console.log("wrote", text);
    return (await db.query("SELECT body FROM notes ORDER BY id")).rows.map((row) => row.body);
  },
  async fail({ text }) {
    await cases.write({ text });
    throw new TypeError("after the write");
  },
  async defer() {
    await db.query("INSERT INTO parts (id, whole) VALUES (1, 99)");
  },
  async pay() {
    const answer = await fetch("https://pay.example/charges", { method: "POST", body: "x" });
    return [answer.status, await answer.json(), env.KEY ?? null];
  },
  spin() { for (;;); },
  hold: () => db.query("SELECT count(*) FROM generate_series(1, 1000000000)"),
};
export const handler = (input, event) => cases[input.case](input, event);
"""
TABLES = """
CREATE TABLE notes (id bigint GENERATED ALWAYS AS IDENTITY, owner text, body text NOT NULL);
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON notes USING (owner = auth.uid());
GRANT SELECT, INSERT ON notes TO authenticated;
CREATE TABLE wholes (id int PRIMARY KEY);
CREATE TABLE parts (id int, whole int REFERENCES wholes DEFERRABLE INITIALLY DEFERRED);
GRANT SELECT, INSERT ON parts TO authenticated;
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "fn.js").write_text(SOURCE)
    (folder / "aerofn.toml").write_text('[functions.cases]\nsource = "fn.js"\ntimeout_ms = 2000\n')
    return folder


@pytest.fixture(scope="module")
async def url(module_database: Any) -> str:
    await (await module_database.connect()).execute(TABLES)
    return module_database.url


@pytest.fixture(scope="module")
def bench(project: Path, url: str) -> Iterator[Bench]:
    with Bench(project, url) as bench:
        yield bench


@pytest.fixture
def trial(bench: Bench) -> Iterator[tuple[Runnable, Db]]:
    with bench.trial() as db:
        yield Runnable(bench, db, "cases"), db


def test_what_it_did_is_there_until_the_end(bench: Bench, trial: tuple[Runnable, Db]) -> None:
    function, db = trial
    db.execute("INSERT INTO notes (owner, body) VALUES ('bob', 'of bob')")
    result = function.invoke({"case": "write", "text": "mine"}, role="authenticated", claims={"sub": "ada"})
    assert result.value == ["mine"]  # row-level security holds: bob's is not seen
    assert result.logs == ["wrote mine"]
    assert [params for _, params in result.queries] == [["mine"], []]
    assert result.duration_ms > 0
    assert db.rows("SELECT owner, body FROM notes ORDER BY id") == [
        {"owner": "bob", "body": "of bob"},
        {"owner": "ada", "body": "mine"},
    ]
    again = function.http({"case": "write", "text": "more"}, role="authenticated", claims={"sub": "bob"})
    assert again.value == ["of bob", "more"]
    with bench.trial() as later:
        assert later.rows("SELECT * FROM notes") == []


def test_a_failure_undoes_its_own_writes_only(trial: tuple[Runnable, Db]) -> None:
    function, db = trial
    options: dict[str, Any] = {"role": "authenticated", "claims": {"sub": "ada"}}
    function.invoke({"case": "write", "text": "first"}, **options)
    result = function.invoke({"case": "fail", "text": "second"}, **options)
    assert result.error is not None
    assert (result.error.name, result.error.message) == ("TypeError", "after the write")
    with pytest.raises(AssertionError, match=r"fn\.js:"):
        _ = result.value
    assert [row["body"] for row in db.rows("SELECT body FROM notes")] == ["first"]
    deferred = function.invoke({"case": "defer"}, **options)
    assert deferred.error is not None
    assert "foreign key" in deferred.error.message
    assert db.rows("SELECT * FROM parts") == []
    denied = function.invoke({"case": "write", "text": "x"}, role="anon")
    assert denied.error is not None
    assert "permission denied for table notes" in denied.error.message
    assert len(db.rows("SELECT * FROM notes")) == 1


def test_requests_are_answered_by_the_test(trial: tuple[Runnable, Db]) -> None:
    function, _ = trial
    answers = {"https://pay.example/charges": {"status": 201, "body": {"id": 7}}}
    result = function.invoke({"case": "pay"}, fetches=answers, env={"KEY": "k"})
    assert result.value == [201, {"id": 7}, "k"]
    assert [(request["method"], request["body"]) for request in result.fetches] == [("POST", "x")]
    computed = function.invoke({"case": "pay"}, fetches=lambda request: {"body": {"to": request["url"]}})
    assert computed.value == [200, {"to": "https://pay.example/charges"}, None]
    refused = function.invoke({"case": "pay"})
    assert refused.error is not None
    assert "this test gives no answer for POST https://pay.example/charges" in refused.error.message


@pytest.mark.parametrize("case", ["spin", "hold"])
def test_its_limits_hold(bench: Bench, case: str) -> None:
    with bench.trial() as db:
        result = Runnable(bench, db, "cases").invoke({"case": case}, role="authenticated")
    assert result.outcome == "timeout"
    with bench.trial() as db:
        assert db.row("SELECT 1 AS one") == {"one": 1}


def test_what_a_test_does_wrong_is_said(bench: Bench, trial: tuple[Runnable, Db]) -> None:
    _, db = trial
    with pytest.raises(AssertionError, match="expected one row, there are 0"):
        db.row("SELECT 1 WHERE false")
    with pytest.raises(AeroFnError, match='relation "nowhere" does not exist'):
        db.rows("SELECT * FROM nowhere")
    with pytest.raises(NotFound, match="no function 'other'"):
        bench.function("other")


CASE = 'function = "cases"\n[[case]]\nname = "pays"\npayload = { case = "pay" }\n'
ANSWERED = 'answers = [{ url = "https://pay.example/charges", body = { id = 1 } }]\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ANSWERED + 'result = [200, { id = 1 }, "k"]\nenv = { KEY = "k" }', None),
        (ANSWERED + 'fetches = ["https://pay.example/charges"]', None),
        (ANSWERED + "result = [201]", r"the result\n  expected: \[201\]"),
        (ANSWERED + "fetches = []", "the requests' URLs"),
        (ANSWERED + 'logs = ["x"]', "logs"),
        (ANSWERED + 'error = "x"', "expected an error with 'x', it returned"),
        (ANSWERED + 'after = [{ query = "SELECT 1 AS a", rows = [{ a = 2 }] }]', "SELECT 1 AS a"),
        ('error = "gives no answer"', None),
        ('error = "other"', "expected an error with 'other', it was: TypeError: fetch"),
        ("result = 1", "the function did not succeed: TypeError: fetch"),
    ],
)  # fmt: skip
def test_cases(text: str, said: str | None, bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "cases.test.toml"
    file.write_text(CASE + text)
    (case,) = read_cases(file)
    if said is None:
        case.run(bench)
    else:
        with pytest.raises(AssertionError, match=said):
            case.run(bench)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[case]]\nname = 'a'", "names no function"),
        ("[[case]]\nname = 'a'\nfunktion = 'x'", "funktion"),
        ("[[case]]\nname = ", "not valid TOML"),
        ("[[case]]\nname = 1", r"case\[0\]\.name"),
    ],
)
def test_cases_that_cannot_be_read(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "cases.test.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=said):
        read_cases(file)


def test_cases_are_found(tmp_path: Path) -> None:
    for name in (
        "b.test.toml",
        "a/a.test.toml",
        "node_modules/x.test.toml",
        ".hidden/x.test.toml",
        "no.toml",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert [str(path.relative_to(tmp_path)) for path in find_cases(tmp_path)] == [
        "a/a.test.toml",
        "b.test.toml",
    ]


async def test_a_database_without_aerofn_is_refused(empty_database: Any, tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="not installed"), Bench(tmp_path, empty_database.url):
        pass
    with pytest.raises(AeroFnError), Bench(tmp_path, "postgresql://nobody@127.0.0.1:1/none"):
        pass


async def test_nothing_is_left_behind(bench: Bench, module_database: Any) -> None:
    with bench.trial() as db:
        Runnable(bench, db, "cases").invoke(
            {"case": "write", "text": "x"}, role="authenticated", claims={"sub": "a"}
        )
    conn: asyncpg.Connection[Any] = await module_database.connect()
    assert await conn.fetchval("SELECT count(*) FROM notes") == 0
    assert await conn.fetchval("SELECT count(*) FROM aerofn.invocations") == 0
