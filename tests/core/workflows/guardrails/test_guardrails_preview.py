"""Preview: the dry run succeeds now, and says what the signers were shown."""

from __future__ import annotations

from core.workflows.guardrails import GuardrailState
from core.workflows.guardrails.base import DryRun
from tests.core.workflows.guardrails.situations import ToldWorld, guardrail, judged, situation

SHOWN = "- old line\n+ new line"


def dry(output: str = SHOWN, problem: str = "", step: str = "Revert") -> DryRun:
    return DryRun(step=step, shown=SHOWN, output=output, problem=problem)


async def test_it_is_met_where_every_dry_run_succeeds() -> None:
    world = ToldWorld(dry_runs=[dry(), dry("something else", step="Tag")])
    result = await judged(guardrail("preview"), world, situation())
    assert (result.state, result.evidence) == (GuardrailState.MET, "It succeeded for 2 steps.")


async def test_it_forbids_where_one_fails() -> None:
    world = ToldWorld(dry_runs=[dry(), dry(problem="a conflict in a.py", step="Tag")])
    result = await judged(guardrail("preview"), world, situation())
    assert (result.state, result.evidence) == (
        GuardrailState.BLOCKED,
        "The dry run of 'Tag': a conflict in a.py",
    )


async def test_it_can_ask_that_the_dry_run_says_what_the_card_shows() -> None:
    same = guardrail("preview", unchanged=True)
    met = await judged(same, ToldWorld(dry_runs=[dry()]), situation())
    assert (met.state, met.evidence) == (GuardrailState.MET, "It succeeded for 1 step, as shown.")
    world = ToldWorld(dry_runs=[dry("- old line\n+ another line\n+ more")])
    result = await judged(same, world, situation())
    assert result.state is GuardrailState.BLOCKED
    assert result.evidence == (
        "The dry run of 'Revert' now says something else: "
        "“+ another line” in place of “+ new line”."
    )


async def test_a_plan_without_a_dry_run_is_refused() -> None:
    result = await judged(guardrail("preview"), ToldWorld(), situation())
    assert (result.state, result.evidence) == (
        GuardrailState.BLOCKED,
        "No step of this plan has a dry run.",
    )
    assert guardrail("preview").evaluate(situation()).state is GuardrailState.WAITING


def test_breaking_the_glass_does_not_make_up_for_a_dry_run() -> None:
    assert not guardrail("preview").overridable
