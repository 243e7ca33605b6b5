"""The modal in which a signer types the workflow's id, so that nobody approves by a slip."""

from __future__ import annotations

from collections.abc import Mapping

from slackblocks import Block, InputBlock, ModalView, PlainText, PlainTextInput

from bot import names
from bot.blocks.layout import Json, cut, note, paragraph, rich, text, without_made_up_id
from bot.blocks.run_parts import facts
from core.workflows.run import Run

BLOCK = "phrase"
_ELEMENT = "value"


def phrase_form(run: Run) -> Json:
    """The modal; it says what is signed once more."""
    blocks: list[Block] = [
        rich(paragraph([text(run.plan.objective)]), facts(run)),
        InputBlock(
            PlainText(f"Type {run.plan.workflow} to countersign"),
            PlainTextInput(_ELEMENT, max_length=200),
            block_id=BLOCK,
        ),
        note(f"You sign exactly the plan on the card of run {run.id}, {cut(run.digest, 20)}"),
    ]
    view: Json = ModalView(
        title="Countersign",
        submit="Approve",
        close="Not now",
        callback_id=names.PHRASE_FORM,
        private_metadata=run.id,
        blocks=blocks,
    ).to_dict()
    return view | {"blocks": [without_made_up_id(block) for block in view["blocks"]]}


def read_phrase(values: Mapping[str, Mapping[str, Json]]) -> str:
    """What was typed."""
    typed = values.get(BLOCK, {}).get(_ELEMENT, {}).get("value")
    return typed if isinstance(typed, str) else ""
