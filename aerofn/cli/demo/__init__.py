"""`aerofn demo`: everything in a minute, on a PostgreSQL of its own below `./.aerofn/`.

`watch` waits for invocations; `story` is
what happens, in order; `stage` is how it looks; `story.sql` is the SQL that it shows and runs.
"""

import asyncio
import contextlib
import signal
from pathlib import Path

from aerofn.cli.demo.stage import Stage
from aerofn.cli.demo.story import Story
from aerofn.cli.place import Place
from aerofn.observe import configure_logging

_INTERRUPTED = 130  # as shells count it


def run(*, once: bool, port: int | None) -> None:
    """Tell the story; then serve until Ctrl-C, or end at once when `once`.

    Raises:
        AeroFnError: something went wrong; says what, and what to do.
    """
    configure_logging("warning")
    stage = Stage()
    stage.title()
    with Place(Path(".aerofn"), "demo", port) as place:
        story = Story(place, stage)
        try:
            asyncio.run(_tell(story, once=once))
        except (KeyboardInterrupt, asyncio.CancelledError):
            if not story.told:
                raise SystemExit(_INTERRUPTED) from None
    stage.farewell(place, stopped=not once)


async def _tell(story: Story, *, once: bool) -> None:
    task = asyncio.current_task()
    assert task is not None
    with contextlib.suppress(NotImplementedError):
        # SIGINT is asyncio's own; a SIGTERM stops everything in the same order.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await story.tell(once=once)
