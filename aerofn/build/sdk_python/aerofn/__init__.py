"""What a Python function has: `from aerofn import db, http, log, env`.

This is the package inside the sandbox. AeroFn's service is a package of the same name, outside of it.
"""

from aerofn import db, http
from aerofn._env import env
from aerofn._log import log
from aerofn.db import PgError
from aerofn.event import Event
from aerofn.http import HttpError

__all__ = ["Event", "HttpError", "PgError", "db", "env", "http", "log"]
