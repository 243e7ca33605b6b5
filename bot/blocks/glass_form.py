"""The modal in which somebody breaks the glass: with a reason, and knowing what follows."""

from __future__ import annotations

from collections.abc import Mapping

from slackblocks import Block, InputBlock, ModalView, PlainText, PlainTextInput

from bot import names
from bot.blocks.layout import Json, bold, cut, paragraph, rich, text, without_made_up_id
from bot.blocks.run_outline import duration
from bot.blocks.run_parts import facts, guardrails
from core.security.policy import BreakGlass
from core.workflows.guardrails import GuardrailState
from core.workflows.run import Run

BLOCK = "reason"
REASON_CHARACTERS = 1_000
_ELEMENT = "value"
_SHORTEST = 10


def glass_form(run: Run, rule: BreakGlass) -> Json:
    """The modal.

    Args:
        run: with its guardrails judged.
        rule: the policy's.
    """
    unmet = [result for result in run.guardrails if result.state is not GuardrailState.MET]
    within = duration(rule.review_within.total_seconds())
    follows = (
        f"It runs against the guardrails that give way. This is announced in {rule.channel}, stays "
        f"in the audit log, and somebody else must review it within {within}."
    )
    blocks: list[Block] = [
        rich(paragraph([text(run.plan.objective)]), facts(run)),
        rich(*guardrails(unmet, run), paragraph([bold("What follows: "), text(follows)])),
        InputBlock(
            PlainText("Why it cannot wait"),
            PlainTextInput(
                _ELEMENT, multiline=True, min_length=_SHORTEST, max_length=REASON_CHARACTERS
            ),
            block_id=BLOCK,
        ),
    ]
    view: Json = ModalView(
        title="Break the glass",
        submit="Break the glass",
        close="Not now",
        callback_id=names.GLASS_FORM,
        private_metadata=run.id,
        blocks=blocks,
    ).to_dict()
    return view | {"blocks": [without_made_up_id(block) for block in view["blocks"]]}


def read_reason(values: Mapping[str, Mapping[str, Json]]) -> str:
    """What was typed."""
    typed = values.get(BLOCK, {}).get(_ELEMENT, {}).get("value")
    return cut(typed.strip(), REASON_CHARACTERS) if isinstance(typed, str) else ""
