"""The command `aerofn doctor`: tells what to do to the database; exit code 1 when a promise does not hold."""

import asyncio
from typing import TextIO

import msgspec

from aerofn.db import doctor as database
from aerofn.db import logins, pool
from aerofn.db.doctor import Finding
from aerofn.settings import Settings
from aerofn.unseen import escaped, named


def doctor(settings: Settings, out: TextIO, *, json: bool = False) -> int:
    """Look at the database of `settings`; 0: nothing or warnings only, 1: errors.

    Raises:
        DatabaseUnavailable: it cannot be reached, or AeroFn is not installed in it.
    """
    findings = asyncio.run(_diagnose(settings))
    if json:
        document = msgspec.json.encode([finding._asdict() for finding in findings]).decode()
        out.write(escaped(document) + "\n")
    else:
        out.write(named(_told(findings)))
    return 1 if any(finding.severity == "error" for finding in findings) else 0


async def _diagnose(settings: Settings) -> list[Finding]:
    connection = await pool.connect(settings)
    try:
        await logins.read(connection)  # says so when AeroFn is not installed
        return await database.diagnose(connection, settings)
    finally:
        await connection.close(timeout=5)


def _told(findings: list[Finding]) -> str:
    if not findings:
        return "Nothing found: row-level security holds against any SQL a function can send.\n"
    lines, last = [], None
    for finding in findings:
        if finding.check != last:
            lines.append(f"\n{finding.severity}: {finding.check}: {finding.remedy}")
            last = finding.check
        lines.append(f"  {finding.object}: {finding.detail}")
    return "\n".join(lines).lstrip() + "\n"
