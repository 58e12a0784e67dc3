"""Options that many commands have."""

from typing import Annotated, Any

from typer import Option

LOCAL = "http://127.0.0.1:8787"

DatabaseUrl = Annotated[str | None, Option(help="PostgreSQL; else DATABASE_URL", show_default=False)]
AsJson = Annotated[bool, Option("--json", help="JSON for programs")]
Url = Annotated[
    str | None, Option(envvar="AEROFN_URL", help="of the service, instead of SQL", show_default=False)
]
Token = Annotated[
    str | None, Option(envvar="AEROFN_TOKEN", help="a JWT of the admin role, for the URL", show_default=False)
]
Limit = Annotated[int, Option(min=1, max=1000, help="most rows")]

# What a command was given of these: database URL, URL and token; and what it asks of the management API: method, the
# path's parts, body. As plain tuples, so that a command's help needs neither of the modules that talk.
Given = tuple[str | None, str | None, str | None]
Asked = tuple[str, tuple[str | int, ...], Any]
