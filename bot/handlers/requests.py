"""Asking for runs: by command or mention, and by a form."""

from __future__ import annotations

import re
import shlex

from bot.blocks import lists
from bot.blocks.run_form_values import as_shown, with_provenance
from bot.handlers.items import FormItem
from bot.services import BotServices
from bot.slack.incoming import straight
from core.errors import InvalidRequestError
from core.records import Place, Provenance
from core.state import AIWorkflow
from core.workflows.plan import PlannedArgument
from core.workflows.run import Run
from core.workflows.service import RunRequest

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")


class Requests:
    """Turns what people ask for into run requests. Whether they may is `WorkflowService`'s."""

    def __init__(self, services: BotServices) -> None:
        self._services = services

    async def typed(self, key: str, user: str, place: Place, text: str, origin: str) -> Run | None:
        """`WORKFLOW NAME=VALUE …`: ask for the run, or tell the person what is missing.

        Args:
            key: of the delivery; the same one becomes one run.
            text: what stands after `run`.

        Returns:
            The run, or None where the person was told what to add.

        Raises:
            NotFoundError: there is no such workflow.
            NotAllowedError: the person may not start it.
            InvalidRequestError: the text cannot be read, or the bot cannot post in the channel.
        """
        name, arguments = read_request(text, Provenance(kind="person", detail=f"{origin}, {user}"))
        workflows = self._services.workflows.workflows
        if name not in workflows:
            known = ", ".join(workflows) or "none"
            raise InvalidRequestError(f"There is no workflow '{name}'. There are: {known}.")
        await self.require_place(place)
        try:
            return await self.ask(key, name, arguments, user, origin, place)
        except InvalidRequestError as error:
            await self._explain(key, user, place, workflows[name], arguments, str(error))
            return None

    async def filled_in(self, key: str, item: FormItem) -> Run:
        """A form: what was left as it was offered keeps where it came from.

        Raises:
            NotFoundError: the offer or the workflow does not exist.
            NotAllowedError: the person may not start it.
            InvalidRequestError: a value is wrong after all, or the dry run failed.
        """
        given: dict[str, PlannedArgument] = {}
        origin = "form"
        if item.state.offer:
            offer = await self._services.offers.get(item.state.offer)
            given, origin = offer.arguments, offer.origin
            if workflow := self._services.workflows.workflows.get(offer.workflow):
                given = as_shown(workflow, given)
        place = Place(channel=item.state.channel, thread=item.state.thread)
        await self.require_place(place)
        arguments = with_provenance(item.values, given, item.user, item.ticked)
        return await self.ask(key, item.state.workflow, arguments, item.user, origin, place)

    async def ask(
        self,
        key: str,
        workflow: str,
        arguments: dict[str, PlannedArgument],
        user: str,
        origin: str,
        place: Place,
    ) -> Run:
        """Ask for a run; see `WorkflowService.request`."""
        request = RunRequest(
            key=f"slack:{key}",
            workflow=workflow,
            arguments=arguments,
            requester=user,
            origin=origin[:300],
            place=place,
        )
        return await self._services.workflows.request(request)

    async def require_place(self, place: Place) -> None:
        """Let pass where the card can be posted.

        Raises:
            InvalidRequestError: the bot is not in that channel.
        """
        if not await self._services.directory.can_post_in(place.channel):
            raise InvalidRequestError(
                "I cannot post in this channel. Invite me with /invite, or use another channel."
            )

    async def _explain(
        self,
        key: str,
        user: str,
        place: Place,
        workflow: AIWorkflow,
        arguments: dict[str, PlannedArgument],
        problem: str,
    ) -> None:
        """What to add, an example, and a form that holds what was typed already."""
        offer = None
        fitting = {name: a for name, a in arguments.items() if name in workflow.parameters}
        if fitting:
            offer = f"typed:{key}"
            origin = next(iter(fitting.values())).provenance.detail
            await self._services.offers.save(offer, workflow.id, fitting, origin)
        answer = lists.workflow(workflow, self._services.settings.command, problem, offer)
        await self._services.messenger.whisper(place, user, answer)


def read_request(text: str, provenance: Provenance) -> tuple[str, dict[str, PlannedArgument]]:
    """Read `WORKFLOW NAME=VALUE NAME="two words"`.

    Raises:
        InvalidRequestError: it is not of that form; the message shows how it should be.
    """
    try:
        words = shlex.split(straight(text))
    except ValueError as error:
        raise InvalidRequestError(
            'A quotation mark is not closed. Write values with spaces as name="two words".'
        ) from error
    if not words:
        raise InvalidRequestError("Say which workflow: run WORKFLOW NAME=VALUE …")
    arguments: dict[str, PlannedArgument] = {}
    for word in words[1:]:
        name, equals, value = word.partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise InvalidRequestError(
                f"'{word[:80]}' is not NAME=VALUE. Write values with spaces as name=\"two words\"."
            )
        if name in arguments:
            raise InvalidRequestError(f"{name} is given twice.")
        arguments[name] = PlannedArgument(value=value, provenance=provenance)
    return words[0], arguments
