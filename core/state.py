"""The records of Countersign and the state that they make up.

A record is one YAML file; its name without the ending is the record's `id`.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue, model_validator

from core.automation import AISchedule, AITrigger
from core.configuration import read_file, read_folder
from core.records import Frozen, Identifier, Instant
from core.security.policy import Policy
from core.workflows.definition import Escalation, Parameter, StepDefinition
from core.workflows.guardrails import AnyGuardrail, Approval

Stage = Literal["draft", "staging", "production", "retired"]
Digest = str
"""`sha256:` and 64 hexadecimal digits."""


class CatalogSource(Frozen):
    """A model that `countersign models pull` knows by name, its files pinned by digest."""

    type: Literal["catalog"] = "catalog"
    name: str = Field(max_length=100)


class FolderSource(Frozen):
    """A folder of safetensors, configuration and tokenizer that the team gives, or a GGUF file."""

    type: Literal["folder"] = "folder"
    path: Path


class ServerSource(Frozen):
    """A model that a server of the team's own already serves under `name`."""

    type: Literal["server"] = "server"
    name: str = Field(max_length=200)


class AdapterSource(Frozen):
    """A LoRA adapter on top of another model, loaded into the model server at start.

    Attributes:
        base: id of the model that it was trained on.
        path: of PEFT's folder, as the model server finds it: on this machine below `adapters/` in
            the home.
    """

    type: Literal["adapter"] = "adapter"
    base: Identifier
    path: str = Field(min_length=1, max_length=500)


class AIModel(Frozen):
    """A model: what it is, where it comes from, what it can do."""

    id: Identifier
    modality: Literal["text", "embeddings", "rerank", "vision", "audio"]
    stage: Stage = "draft"
    parameters: int = Field(ge=1, description="number of weights")
    format: Literal["gguf", "safetensors", "served"]
    licence: str = Field(max_length=60)
    source: CatalogSource | FolderSource | ServerSource | AdapterSource = Field(
        discriminator="type"
    )
    digest: Digest | None = Field(default=None, pattern=r"^sha256:[0-9a-f]{64}$")
    capabilities: frozenset[Literal["chat", "json", "tools", "embeddings", "rerank"]]
    default: bool = False

    @property
    def served_name(self) -> str:
        """The name under which the model server has it."""
        if isinstance(self.source, FolderSource | AdapterSource):
            return self.id
        return self.source.name


class AIAssistant(Frozen):
    """A persona: what it is for, how it speaks, what it may use.

    Attributes:
        examples: requests that belong to it; routing compares with them.
        workflows: ids of the workflows that it may propose.
    """

    id: Identifier
    name: str = Field(max_length=80)
    emoji: str = Field(default=":robot_face:", pattern=r"^:[a-z0-9_+-]+:$")
    speciality: str = Field(max_length=300)
    system_prompt: str = Field(max_length=8000)
    model: Identifier | None = None
    examples: tuple[str, ...] = Field(min_length=3, max_length=200)
    workflows: tuple[Identifier, ...] = ()
    suggested_prompts: tuple[str, ...] = Field(default=(), max_length=4)


class AIWorkflow(Frozen):
    """An objective, typed parameters, ordered steps, guardrails, escalation path.

    Attributes:
        examples: requests that mean this workflow; routing compares with them.
        start: roles that may start it; empty means the policy's.
        targets: parameters that name what is touched, each item of a list; the blast radius.
        on_failure: what is done after a failure, when what was done has been undone.
    """

    id: Identifier
    name: str = Field(max_length=80)
    objective: str = Field(max_length=500)
    environment: str = Field(default="production", max_length=40)
    parameters: dict[str, Parameter] = Field(default_factory=dict)
    examples: tuple[str, ...] = Field(default=(), max_length=200)
    start: tuple[Identifier, ...] = ()
    targets: tuple[str, ...] = ()
    steps: tuple[StepDefinition, ...] = Field(min_length=1, max_length=50)
    on_failure: tuple[StepDefinition, ...] = Field(default=(), max_length=20)
    guardrails: tuple[AnyGuardrail, ...] = ()
    escalation: Escalation | None = None

    @model_validator(mode="after")
    def _consistent(self) -> AIWorkflow:
        ids = [part.id for step in (*self.steps, *self.on_failure) for part in step.walk()]
        if len(ids) != len(set(ids)):
            twice = next(id_ for id_ in ids if ids.count(id_) > 1)
            raise ValueError(f"two steps have the id '{twice}': give each its own")
        if len([g for g in self.guardrails if isinstance(g, Approval)]) > 1:
            raise ValueError("give one 'approval' guardrail only")
        if unknown := set(self.targets) - set(self.parameters):
            raise ValueError(f"'targets' names unknown parameters: {', '.join(sorted(unknown))}")
        return self


class AITrainingProfile(Frozen):
    """How a model is tuned: method, device mix, precision, budget."""

    id: Identifier
    base_model: Identifier
    method: Literal["lora", "qlora", "full", "instruction"]
    accelerators: Literal["cpu", "gpu", "hybrid"] = "cpu"
    parallelism: Literal["none", "data", "fsdp", "tensor"] = "none"
    precision: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    learning_rate: float = Field(gt=0, lt=1)
    epochs: int = Field(ge=1, le=100)
    batch_size: int = Field(ge=1, le=4096)
    rank: int = Field(default=16, ge=1, le=1024)
    max_hours: float = Field(gt=0, le=1000)


class DatasetAsset(Frozen):
    """A dataset for one production task, with its licence, owner and lineage."""

    id: Identifier
    task: Literal["chat", "routing", "tool-use", "summarisation", "extraction", "retrieval"]
    format: Literal["jsonl", "parquet", "delta", "yaml", "markdown", "csv", "arrow", "text"]
    path: Path
    licence: str = Field(max_length=60)
    owner: str = Field(max_length=80)
    digest: Digest | None = Field(default=None, pattern=r"^sha256:[0-9a-f]{64}$")
    parents: tuple[Identifier, ...] = ()
    retain_until: date | None = None


class AITrainingRun(Frozen):
    """One tuning of a model on datasets, with what is needed to repeat it."""

    id: Identifier
    profile: Identifier
    datasets: tuple[Identifier, ...] = Field(min_length=1)
    dataset_digests: tuple[Digest, ...] = ()
    seed: int = Field(ge=0)
    state: Literal["planned", "running", "succeeded", "failed", "cancelled"]
    started_at: Instant | None = None
    finished_at: Instant | None = None
    output_model: Identifier | None = None


class IntakeLimits(Frozen):
    """How much of a sender's webhooks is taken; what is over is answered 429, with the seconds
    after which to send it again.

    Attributes:
        per_second: deliveries in the long run, for each replica.
        burst: deliveries at once, for each replica.
        waiting: deliveries that may wait to be processed, over all replicas.
    """

    per_second: float = Field(default=100, gt=0, le=100_000)
    burst: int = Field(default=1000, ge=1, le=1_000_000)
    waiting: int = Field(default=50_000, ge=1, le=10_000_000)


class AIIntegration(Frozen):
    """A system that we talk to.

    Attributes:
        kind: which code speaks to it; its own settings are checked by that code.
        secrets: for each secret the code needs, the name under which the environment or
            `secrets.env` has it; two names while one is being replaced. Values never stand in
            configuration files.
        intake: how much of its webhooks is taken.
    """

    id: Identifier
    kind: Identifier
    enabled: bool = True
    settings: dict[str, JsonValue] = Field(default_factory=dict)
    secrets: dict[str, str | tuple[str, str]] = Field(default_factory=dict)
    intake: IntakeLimits = IntakeLimits()


class ApplicationState(Frozen):
    """Everything that the configuration folder says, validated as a whole."""

    folder: Path
    policy: Policy
    models: dict[str, AIModel]
    assistants: dict[str, AIAssistant]
    workflows: dict[str, AIWorkflow]
    integrations: dict[str, AIIntegration]
    triggers: dict[str, AITrigger]
    schedules: dict[str, AISchedule]
    datasets: dict[str, DatasetAsset]
    training_profiles: dict[str, AITrainingProfile]
    training_runs: dict[str, AITrainingRun]

    @classmethod
    def load(cls, folder: Path) -> ApplicationState:
        """Read and validate a configuration folder.

        Raises:
            ConfigurationError: a file is missing or wrong; the message names file, line, field
                and the mend. References between records are checked by `core.consistency`.
        """
        return cls(
            folder=folder,
            policy=read_file(folder / "policy.yaml", Policy),
            models=read_folder(folder / "models", AIModel),
            assistants=read_folder(folder / "assistants", AIAssistant),
            workflows=read_folder(folder / "workflows", AIWorkflow),
            integrations=read_folder(folder / "integrations", AIIntegration),
            triggers=read_folder(folder / "triggers", AITrigger),
            schedules=read_folder(folder / "schedules", AISchedule),
            datasets=read_folder(folder / "datasets", DatasetAsset),
            training_profiles=read_folder(folder / "training-profiles", AITrainingProfile),
            training_runs=read_folder(folder / "training-runs", AITrainingRun),
        )
