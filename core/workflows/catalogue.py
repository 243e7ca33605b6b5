"""What can be asked for by name: the workflows of files, and actions by themselves.

An action that people can ask for by itself (a tool of an MCP server) becomes a workflow of one
step, made anew each time from the action as it is then. So it has a plan, guardrails, a card and
countersignatures like all others, and what was signed is compared with what it would be now.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

from core.state import AIWorkflow
from core.workflows.actions import Action, ActionRegistry, Standalone
from core.workflows.definition import StepDefinition

STANDALONE = "tool-"
"""How the ids of workflows begin that no file has written."""

_LONGEST_ID = 63


class Catalogue:
    """The workflows, by id.

    Args:
        written: those of files; their ids are theirs.
        actions: of which some can be asked for by themselves.
    """

    def __init__(self, written: Mapping[str, AIWorkflow], actions: ActionRegistry) -> None:
        self.written = written
        self._actions = actions

    def get(self, workflow_id: str, given: Collection[str]) -> AIWorkflow | None:
        """The workflow of that id, as it is now; None where there is none.

        Args:
            given: names of the arguments. Of an action by itself, those that are neither required
                nor given are left out.
        """
        if workflow_id in self.written:
            return self.written[workflow_id]
        action = self.standalone().get(workflow_id)
        if action is None or action.standalone is None:
            return None
        return _workflow(workflow_id, action, action.standalone, given)

    def standalone(self) -> dict[str, Action[Any]]:
        """The actions that can be asked for by themselves now, by the id of the workflow that each
        becomes."""
        found: dict[str, list[Action[Any]]] = {}
        for action in self._actions:
            if action.standalone is not None:
                found.setdefault(standalone_id(action.name), []).append(action)
        # Two of one id would be one name for two things: neither can be asked for.
        return {
            workflow_id: actions[0]
            for workflow_id, actions in found.items()
            if len(actions) == 1 and workflow_id not in self.written
        }


def standalone_id(action: str) -> str:
    """`tool-clouds-stop-instance` for the action `mcp.clouds.stop_instance`."""
    _, _, rest = action.partition(".")
    whole = STANDALONE + rest.replace(".", "-").replace("_", "-")
    if len(whole) <= _LONGEST_ID:
        return whole
    return f"{whole[: _LONGEST_ID - 9]}-{hashlib.sha256(action.encode()).hexdigest()[:8]}"


def _workflow(
    workflow_id: str, action: Action[Any], standalone: Standalone, given: Collection[str]
) -> AIWorkflow:
    parameters = {
        name: parameter
        for name, parameter in standalone.parameters.items()
        if name in standalone.required or name in given
    }
    call: dict[str, Any] = {name: f'${{parameters["{name}"]}}' for name in parameters}
    step = StepDefinition.model_validate(
        {"id": "call", "name": standalone.title, "action": action.name, "with": call}
    )
    return AIWorkflow(
        id=workflow_id,
        name=standalone.title,
        objective=f"{action.summary}, by itself.",
        parameters=parameters,
        steps=(step,),
    )
