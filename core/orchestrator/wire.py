"""What `LocalAIOrchestrator` and its server process say to each other besides OpenAI's protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_serializer

from core.orchestrator.files.source import ModelKind

DEADLINE_HEADER = "X-Countersign-Deadline"
"""Seconds in which a reply must be finished. Servers that do not know it ignore it."""

DEADLINE_CODE = "deadline_exceeded"
"""`error.code` of a reply that was not finished in time."""

Device = Literal["auto", "cpu", "cuda"]
"""Where models run; `auto` is `cuda` where torch finds such a device."""

Precision = Literal["float32", "bfloat16", "int8", "int4"]
"""Of a chat model's weights. int8 and int4 hold for the few rows of decoding, which reads all
weights for each token; a prompt is read in bfloat16."""


class ServedModel(BaseModel):
    """A model of this machine that the server may load.

    Attributes:
        folder: as `countersign models pull` made it; its name is the model's.
        resident: loaded before the server answers, and never unloaded; else loaded when it is
            first asked for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path
    kind: ModelKind
    resident: bool = False

    @property
    def name(self) -> str:
        """What requests call it."""
        return self.folder.name


class ServerConfig(BaseModel):
    """First line on the server's standard input, as JSON; its end is the server's end.

    Attributes:
        token: bearer token that every request must carry.
        port: 0 lets the system choose.
        models: the first of a kind is the default one.
        memory: bytes that all models together may take; None means half of what there is.
        adapters: folder below which LoRA adapters lie that may be loaded; None allows none.
        threads: torch's threads; 0 means one for each core that this process may use, less one.
        queue_limit: requests that may wait; more are answered 429.
        max_running: chat requests that are decoded together.
        precision: of the chat models' weights.
        device: where the models run.
        niceness: added to the process's niceness, so that the application goes first. Where Linux
            shares the processors among sessions first, it counts within the server's session.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    token: SecretStr = Field(min_length=16)
    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    models: tuple[ServedModel, ...] = ()
    memory: int | None = Field(default=None, ge=1)
    adapters: Path | None = None
    threads: int = Field(default=0, ge=0)
    queue_limit: int = Field(default=64, ge=1)
    max_running: int = Field(default=8, ge=1, le=256)
    precision: Precision = "int4"
    device: Device = "auto"
    niceness: int = Field(default=5, ge=0, le=19)

    @field_serializer("token", when_used="json")
    def _reveal(self, token: SecretStr) -> str:
        return token.get_secret_value()


class ServerReady(BaseModel):
    """One line on the server's standard output: where it listens, or why it does not."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str | None = None
    error: str | None = None


class ServerLoad(BaseModel):
    """Body of `GET /health`. Counts of requests."""

    model_config = ConfigDict(frozen=True)

    status: str
    waiting: int
    running: int
