"""What a person must see at once: modals, which have 3 seconds, and the errors in their fields."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import ValidationError
from slack_bolt.async_app import AsyncAck

from bot import names
from bot.blocks.glass_form import BLOCK as REASON_BLOCK
from bot.blocks.glass_form import glass_form, read_reason
from bot.blocks.layout import Json
from bot.blocks.lists import sentence
from bot.blocks.phrase_form import BLOCK, phrase_form, read_phrase
from bot.blocks.run_form import FormState, refusal_view, run_form
from bot.blocks.run_form_values import PLACE_BLOCK, read_form, read_place, read_ticks
from bot.handlers.intake import Intake, unreadable
from bot.handlers.items import FormItem, GlassItem, PhraseItem, PressItem, from_press
from bot.handlers.sight import Sight
from bot.services import BotServices
from bot.slack.client import slack_errors
from bot.slack.messenger import RUN_KEY
from core.errors import CountersignError, InvalidRequestError, NotFoundError
from core.records import Place
from core.state import AIWorkflow
from core.workflows.catalogue import STANDALONE
from core.workflows.plan import PlannedArgument

_NO_INPUT = "no input"
_Build = Callable[[PressItem], Awaitable[Json]]
_log = logging.getLogger(__name__)


class Forms:
    """Opens the modals and reads them."""

    def __init__(self, services: BotServices, intake: Intake) -> None:
        self._services = services
        self._intake = intake
        self._sight = Sight(services)

    async def open_workflow(
        self, ack: AsyncAck, body: dict[str, Any], action: dict[str, Any]
    ) -> None:
        """`Run…`: the form of a workflow, empty."""
        await self._opening(ack, body, action, self._workflow_form)

    async def open_offer(self, ack: AsyncAck, body: dict[str, Any], action: dict[str, Any]) -> None:
        """`Run NAME…`: the form of an offered workflow, filled in."""
        await self._opening(ack, body, action, self._offer_form)

    async def open_phrase(
        self, ack: AsyncAck, body: dict[str, Any], action: dict[str, Any]
    ) -> None:
        """`Approve…`: where the signer must type the workflow's id."""
        await self._opening(ack, body, action, self._phrase_form)

    async def open_again(self, ack: AsyncAck, body: dict[str, Any], action: dict[str, Any]) -> None:
        """`Run again with changes…`: the form, filled in as it was for that run."""
        await self._opening(ack, body, action, self._again_form)

    async def open_run(self, ack: AsyncAck, body: dict[str, Any], action: dict[str, Any]) -> None:
        """`Details…`, a run in a list, or a card's menu."""
        await self._opening(ack, body, action, self._run_view)

    async def submit_run(self, ack: AsyncAck, body: dict[str, Any], view: dict[str, Any]) -> None:
        """A run form was sent: say what is wrong in its fields, or keep it."""
        try:
            state = FormState.read(view.get("private_metadata", ""))
            values: dict[str, dict[str, Json]] = view["state"]["values"]
            found, errors = read_form(self._workflow(state.workflow), values)
            if not state.channel:
                state = state.model_copy(update={"channel": read_place(values)})
                errors |= await self._unfit_place(state.channel)
            if not errors:
                item = FormItem(
                    user=body["user"]["id"], state=state, values=found, ticked=read_ticks(values)
                )
                await self._intake.keep(body, item)
        except CountersignError as error:
            errors = {_first_input(view): str(error)}
        except (KeyError, ValidationError) as error:
            unreadable(error, "view_submission")
            errors = {_first_input(view): "This form cannot be read; open it again."}
        if _NO_INPUT in errors:  # a form without fields has no place for an error
            await ack(response_action="update", view=refusal_view(errors[_NO_INPUT]))
            return
        await (ack(response_action="errors", errors=errors) if errors else ack())

    async def submit_phrase(
        self, ack: AsyncAck, body: dict[str, Any], view: dict[str, Any]
    ) -> None:
        """A phrase was typed: say at once that it is not the right one, or keep it."""
        error = ""
        try:
            run = await self._services.workflows.get(view["private_metadata"])
            phrase = read_phrase(view["state"]["values"])
            if phrase.strip() == run.plan.workflow:
                item = PhraseItem(user=body["user"]["id"], run=run.id, phrase=phrase)
                await self._intake.keep(body, item)
            else:
                error = f"Type {run.plan.workflow} to confirm that you mean this run."
        except CountersignError as problem:
            error = str(problem)
        except (KeyError, ValidationError) as problem:
            unreadable(problem, "view_submission")
            error = "This form cannot be read; open it again."
        await (ack(response_action="errors", errors={BLOCK: error}) if error else ack())

    async def submit_glass(self, ack: AsyncAck, body: dict[str, Any], view: dict[str, Any]) -> None:
        """The glass is to be broken: keep it with its reason."""
        try:
            reason = read_reason(view["state"]["values"])
            item = GlassItem(user=body["user"]["id"], run=view["private_metadata"], reason=reason)
            await self._intake.keep(body, item)
        except (KeyError, ValidationError) as problem:
            unreadable(problem, "view_submission")
            error = "This form cannot be read; open it again."
            await ack(response_action="errors", errors={REASON_BLOCK: error})
            return
        await ack()

    async def _opening(
        self, ack: AsyncAck, body: dict[str, Any], action: dict[str, Any], build: _Build
    ) -> None:
        try:
            press = from_press(body, action)
        except (KeyError, ValidationError) as error:
            unreadable(error, "block_actions")
            await ack()
            return
        try:
            await self._services.directory.require_member(press.user)
            view = await build(press)
            with slack_errors("open a form"):
                await self._services.client.views_open(trigger_id=body["trigger_id"], view=view)
        except CountersignError as error:
            _log.info("no form for %s: %s", press.action, error)
            await self._explain(press, error)
        await ack()

    async def _workflow_form(self, press: PressItem) -> Json:
        return self._form(press, self._workflow(press.value), None, {})

    async def _offer_form(self, press: PressItem) -> Json:
        offer = await self._services.offers.get(press.value)
        return self._form(press, self._workflow(offer.workflow), press.value, offer.arguments)

    async def _phrase_form(self, press: PressItem) -> Json:
        return phrase_form(await self._services.workflows.get(press.value))

    async def _again_form(self, press: PressItem) -> Json:
        run = await self._sight.run(press.user, press.value)
        offer = f"again:{run.id}"
        arguments = dict(run.plan.arguments)
        await self._services.offers.save(offer, run.plan.workflow, arguments, f"again: {run.id}")
        # The new card stands beside the old one, not below it: people must see it.
        beside = press.model_copy(update={"thread": press.inside})
        return self._form(beside, self._workflow(run.plan.workflow), offer, arguments)

    async def _run_view(self, press: PressItem) -> Json:
        glass = press.value.startswith(names.MENU_GLASS)
        run_id = press.value.removeprefix(names.MENU_GLASS).removeprefix(names.MENU_DETAILS)
        run = await self._sight.run(press.user, run_id)
        if not glass:
            posted = await self._services.messenger.posted(RUN_KEY + run.id)
            link = await self._services.messenger.permalink(posted) if posted else None
            return await self._services.cards.details(run, link)
        rule = self._services.state.policy.break_glass
        if rule is None:
            raise InvalidRequestError("Nobody may break the glass: policy.yaml has no break_glass.")
        await self._services.roles.require(press.user, rule.roles, "break the glass")
        return glass_form(await self._services.cards.judged(run), rule)

    def _form(
        self,
        press: PressItem,
        workflow: AIWorkflow,
        offer: str | None,
        given: dict[str, PlannedArgument],
    ) -> Json:
        state = FormState(
            workflow=workflow.id, channel=press.channel or "", thread=press.thread, offer=offer
        )
        return run_form(workflow, state, given)

    def _workflow(self, name: str) -> AIWorkflow:
        workflows = self._services.workflows.workflows
        if name.startswith(STANDALONE) and name not in workflows:
            command = self._services.settings.command
            raise InvalidRequestError(f"A tool has no form: say {command} tool NAME KEY=VALUE …")
        if name not in workflows:
            raise NotFoundError(f"There is no workflow '{name}' any more.")
        return workflows[name]

    async def _unfit_place(self, channel: str) -> dict[str, str]:
        if not channel:
            return {PLACE_BLOCK: "Choose the channel in which the plan is posted."}
        if not await self._services.directory.can_post_in(channel):
            return {PLACE_BLOCK: "I am not in that channel. Invite me with /invite first."}
        return {}

    async def _explain(self, press: PressItem, error: CountersignError) -> None:
        messenger = self._services.messenger
        try:
            place = press.place or Place(channel=await messenger.direct_channel(press.user))
            await messenger.whisper(place, press.user, sentence(str(error)))
        except CountersignError as problem:
            _log.warning("%s could not be told that: %s (%s)", press.user, error, problem)


def _first_input(view: dict[str, Any]) -> str:
    blocks = view.get("blocks", [])
    return next((b["block_id"] for b in blocks if b.get("type") == "input"), _NO_INPUT)
