"""Tests of functions: each runs against a real database, in a transaction that is rolled back, without a service.

For pytest there are the fixtures `function` and `db` (see `plugin`), for every language test cases in TOML
(see `cases`) that `aerofn test` runs. Both stand on `Bench`.
"""

from aerofn.testing.bench import Bench, Db, Runnable
from aerofn.testing.cases import Case
from aerofn.testing.result import Result

__all__ = ["Bench", "Case", "Db", "Result", "Runnable"]
