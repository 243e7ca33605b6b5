"""Values that come back from a form as they were filled in keep where they came from."""

from __future__ import annotations

import pytest

from bot.blocks.run_form_values import as_shown, with_provenance
from core.records import Provenance, Value
from core.state import AIWorkflow
from core.workflows.plan import PlannedArgument
from tests.core.workflows.parts import workflow

MODEL = Provenance(kind="model", detail="planner")


def deploy() -> AIWorkflow:
    return workflow(
        parameters={
            "hosts": {"type": "list", "description": "where"},
            "count": {"type": "integer", "description": "how many"},
            "sure": {"type": "boolean", "description": "whether"},
            "note": {"description": "why", "max_length": 12},
        }
    )


@pytest.mark.parametrize(
    ("name", "offered", "sent"),
    [
        ("hosts", "db-1,db-2", ("db-1", "db-2")),
        ("hosts", ("db-1 ",), ("db-1",)),
        ("count", "5", 5),
        ("sure", "yes", True),
        ("note", "drop\r\nall ", "drop\nall"),
        ("note", "twelve letters and more", "twelve lette"),
    ],
)
def test_a_models_value_stays_a_models_however_the_form_gives_it_back(
    name: str, offered: Value, sent: Value
) -> None:
    given = as_shown(deploy(), {name: PlannedArgument(value=offered, provenance=MODEL)})
    argument = with_provenance({name: sent}, given, "U0ALICE")[name]
    assert (argument.value, argument.provenance) == (sent, MODEL)
    ticked = with_provenance({name: sent}, given, "U0ALICE", (name,))[name]
    assert ticked.provenance == MODEL.model_copy(update={"confirmed_by": "U0ALICE"})


def test_what_a_person_wrote_in_its_place_is_theirs() -> None:
    given = as_shown(deploy(), {"note": PlannedArgument(value="drop all", provenance=MODEL)})
    argument = with_provenance({"note": "drop one"}, given, "U0ALICE")["note"]
    assert argument.provenance == Provenance(kind="person", detail="form, U0ALICE")
