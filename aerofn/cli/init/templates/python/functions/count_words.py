from typing import Any

from aerofn import Event, db, log


def handler(note: dict[str, Any], event: Event) -> dict[str, int]:
    words = len(note["body"].split())
    db.query("UPDATE notes SET words = $2 WHERE id = $1", [note["id"], words])
    log.info("note %s has %s words", note["id"], words)
    return {"words": words}
