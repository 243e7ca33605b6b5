"""What does not fit in the models and the assistants."""

from __future__ import annotations

from collections.abc import Iterator

from core.consistency.places import Problem, Spot, file_of
from core.state import AdapterSource, ApplicationState


def model_problems(state: ApplicationState) -> Iterator[Problem]:
    """No default, or several; adapters of what is no chat model."""
    for modality in ("text", "embeddings"):
        defaults = [m.id for m in state.models.values() if m.modality == modality and m.default]
        if len(defaults) != 1:
            named = ", ".join(defaults) or "none"
            yield Spot(state.folder / "models").says(
                f"exactly one {modality} model needs 'default: true' (now: {named})."
            )

    for model in state.models.values():
        if not isinstance(model.source, AdapterSource):
            continue
        file = file_of(state.folder, "models", model.id)
        if model.modality != "text" or model.default:
            yield file.says("an adapter has 'modality: text' and is not the default: its base is.")
        bases = [
            other.id
            for other in state.models.values()
            if other.modality == "text" and not isinstance(other.source, AdapterSource)
        ]
        yield from file.at("source", "base").knows(model.source.base, bases)


def assistant_problems(state: ApplicationState) -> Iterator[Problem]:
    """Workflows and models that are none."""
    if not state.assistants:
        folder = Spot(state.folder / "assistants")
        yield folder.says("there must be at least one assistant.")
    for assistant in state.assistants.values():
        file = file_of(state.folder, "assistants", assistant.id)
        for position, workflow in enumerate(assistant.workflows):
            spot = file.at("workflows", position, label="workflows")
            yield from spot.knows(workflow, state.workflows)
        if assistant.model is not None:
            yield from file.at("model").knows(assistant.model, state.models)
