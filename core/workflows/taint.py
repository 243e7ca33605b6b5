"""Which values of a plan no person of the team wrote, followed through its steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import JsonValue

from core.workflows.expansion import Draft
from core.workflows.plan import PlannedArgument
from core.workflows.template import references

MODEL = "model output"
_WORDS = {"webhook": "webhook field", "model": MODEL, "step": "output of another run"}


class Taints:
    """Knows, for each parameter and each step so far, whose words may be in it.

    Args:
        arguments: of the plan, with their provenance.
    """

    def __init__(self, arguments: Mapping[str, PlannedArgument]) -> None:
        self._parameters = {
            name: frozenset({_WORDS.get(argument.provenance.kind, argument.provenance.kind)})
            for name, argument in arguments.items()
            if not argument.provenance.trusted
        }
        self._outputs: dict[str, frozenset[str]] = {}

    def within(self, value: JsonValue, draft: Draft) -> dict[str, frozenset[str]]:
        """For each untrusted thing that `value` refers to, where it came from, in words.

        Expressions name what they refer to: one that computes a name does not compile.
        """
        found: dict[str, frozenset[str]] = {}
        for path in references(value):
            root, *rest = path.split(".")
            name = rest[0] if rest else ""
            if root == "parameters" and name in self._parameters:
                found[name] = self._parameters[name]
            elif root == "steps" and (kinds := self._outputs.get(name)):
                found[path] = kinds
            elif root == "each" and (kinds := self._of(draft.around.source)):
                found["each"] = kinds
        return found

    def follow(self, draft: Draft, inside: Iterable[frozenset[str]], own: str) -> None:
        """Note what a step's output may hold: what its arguments hold, and what it makes itself.

        Args:
            own: `model` where a model writes the output.
        """
        kinds = frozenset[str]().union(*inside, {MODEL} if own == "model" else ())
        self._outputs[draft.base] = self._outputs.get(draft.base, frozenset()) | kinds

    def _of(self, value: JsonValue) -> frozenset[str]:
        paths = [path.split(".") for path in references(value)]
        return frozenset[str]().union(
            *(self._parameters.get(path[1], frozenset()) for path in paths if len(path) > 1)
        )


def in_words(found: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """For the card: `commit (webhook field)`."""
    return tuple(f"{name} ({', '.join(sorted(found[name]))})" for name in sorted(found))
