"""`/manage/v1/triggers`: list, show, make, enable, disable and drop. For the admin role."""

from datetime import UTC, datetime

import msgspec
from starlette.requests import Request

from aerofn.db.triggers import ListedTrigger, ScheduleOptions, Triggers, WebhookOptions
from aerofn.dispatch.cron import cron
from aerofn.errors import Conflict, InvalidRequest, NotFound
from aerofn.web.answer import Answer, json_answer
from aerofn.web.auth import Tokens
from aerofn.web.client import headers_of, read_body
from aerofn.web.operation import operation

_MOST_BYTES = 256 * 1024
_TIMES = 5


class TriggerRoutes:
    """The triggers over HTTP. Every method raises InvalidToken or NotAllowed if the caller may not use it."""

    def __init__(self, triggers: Triggers, tokens: Tokens) -> None:
        self._triggers = triggers
        self._tokens = tokens

    @operation("List the triggers", answers={200: list[ListedTrigger]})
    async def list(self, request: Request) -> Answer:
        """Every trigger, by name."""
        await self._tokens.admin(request.scope)
        return json_answer(await self._triggers.all())

    @operation("Show one trigger", answers={200: ListedTrigger}, errors=[NotFound])
    async def show(self, request: Request) -> Answer:
        """One trigger; a schedule with its next times.

        Raises:
            NotFound: there is none of that name.
        """
        return json_answer(await self._shown(await self._admitted(request)))

    @operation(
        "Make a schedule or a webhook",
        body=ScheduleOptions | WebhookOptions,
        answers={201: ListedTrigger},
        errors=[NotFound, Conflict],
    )
    async def create(self, request: Request) -> Answer:
        """Make a schedule or a webhook; 201. Row triggers are made in SQL, by who owns the table.

        Raises:
            InvalidRequest, NotFound, Conflict: what cannot be right; no such function; the name is taken.
        """
        await self._tokens.admin(request.scope)
        body = await read_body(request.receive, headers_of(request.scope), _MOST_BYTES)
        try:
            options = msgspec.json.decode(body, type=ScheduleOptions | WebhookOptions)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidRequest(
                "the body makes no trigger",
                detail=str(error),
                hint='send {"kind": "schedule", "function": "…", "cron": "0 8 * * *"} or {"kind": "webhook", …}',
            ) from None
        return json_answer(await self._shown(await self._triggers.create(options)), 201)

    @operation("Resume a trigger", answers={200: ListedTrigger}, errors=[NotFound])
    async def enable(self, request: Request) -> Answer:
        """Resume a trigger.

        Raises:
            NotFound: there is none.
        """
        return await self._set_enabled(request, enabled=True)

    @operation("Pause a trigger", answers={200: ListedTrigger}, errors=[NotFound])
    async def disable(self, request: Request) -> Answer:
        """Pause a trigger.

        Raises:
            NotFound: there is none.
        """
        return await self._set_enabled(request, enabled=False)

    @operation("Remove a trigger", answers={204: None}, errors=[NotFound])
    async def drop(self, request: Request) -> Answer:
        """Remove a trigger.

        Raises:
            NotFound: there is none.
        """
        await self._triggers.drop(await self._admitted(request))
        return Answer(204, b"", [])

    async def _set_enabled(self, request: Request, *, enabled: bool) -> Answer:
        name = await self._admitted(request)
        await self._triggers.set_enabled(name, enabled)
        return json_answer(await self._shown(name))

    async def _shown(self, name: str) -> ListedTrigger:
        trigger = await self._triggers.named(name)
        times = await self._triggers.times(name) if trigger.kind == "schedule" else None
        if times is None or not trigger.enabled or trigger.error is not None:
            return trigger
        return msgspec.structs.replace(trigger, next=cron(*times).upcoming(datetime.now(UTC), _TIMES))

    async def _admitted(self, request: Request) -> str:
        await self._tokens.admin(request.scope)
        name: str = request.path_params["name"]
        if "\0" in name:
            raise NotFound(f"there is no trigger {name!r}")
        return name
