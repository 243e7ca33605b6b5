"""What Jenkins' Notification plugin posts, and what Jenkins' API answers.

https://plugins.jenkins.io/notification/, whose fields are those of its `JobState` and `BuildState`;
https://www.jenkins.io/doc/book/using/remote-access-api/ and the page `…/api/` of every object.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import unquote

from pydantic import BeforeValidator, Field, JsonValue

from integrations.webhooks import Payload

_JOB_PATH = re.compile(r"(?:job/[^/]+/)+")


class Scm(Payload):
    """What was built."""

    url: str | None = ""
    branch: str | None = ""
    commit: str | None = ""
    culprits: tuple[str, ...] | None = ()


class Build(Payload):
    """One build; `status` is there from its end on, `timestamp` (milliseconds) is the phase's;
    older versions of the plugin send none."""

    full_url: str = ""
    number: int = Field(ge=0, le=2**53 - 1)
    queue_id: int = 0
    phase: Literal["QUEUED", "STARTED", "COMPLETED", "FINALIZED", "NONE"]
    status: str | None = None
    timestamp: datetime | None = None
    scm: Scm | None = None
    parameters: dict[str, str | None] | None = None


class JobState(Payload):
    """One notification."""

    name: str = Field(min_length=1)
    url: str | None = ""
    build: Build

    @property
    def job(self) -> str:
        """The name with its folders: the plugin's `name` is without, its `url` is
        `job/FOLDER/job/NAME/`."""
        if not _JOB_PATH.fullmatch(self.url or ""):
            return self.name
        parts = (self.url or "").removeprefix("job/").removesuffix("/").split("/job/")
        return "/".join(unquote(part) for part in parts)


def _texts_only(choices: object) -> object:
    """Plugins have kinds of parameters of their own, whose choices are something else."""
    listed = isinstance(choices, list) and all(isinstance(choice, str) for choice in choices)
    return choices if listed else None


class ParameterDefinition(Payload):
    """A parameter that a job declares."""

    name: str
    choices: Annotated[tuple[str, ...] | None, BeforeValidator(_texts_only)] = None


class Property(Payload):
    """A job's property; that with parameters has definitions."""

    parameter_definitions: tuple[ParameterDefinition, ...] | None = Field(
        default=None, alias="parameterDefinitions"
    )


class LastBuild(Payload):
    """The latest build of a job."""

    number: int
    result: str | None = None


class Job(Payload):
    """`GET /job/NAME/api/json`."""

    url: str = ""
    buildable: bool = False
    properties: tuple[Property, ...] | None = Field(default=(), alias="property")
    last_build: LastBuild | None = Field(default=None, alias="lastBuild")

    @property
    def parameters(self) -> dict[str, ParameterDefinition]:
        """What it declares, by name."""
        return {
            definition.name: definition
            for held in self.properties or ()
            for definition in held.parameter_definitions or ()
        }


class Parameter(Payload):
    """A parameter of a build; those that are secret have no value here."""

    name: str = ""
    value: JsonValue = None


class Doing(Payload):
    """Something that Jenkins holds about a build; of interest where it has parameters."""

    parameters: tuple[Parameter, ...] | None = None


class _WithParameters(Payload):
    actions: tuple[Doing, ...] | None = ()

    def has(self, name: str, value: str) -> bool:
        """Whether it was started with that value of that parameter."""
        return any(
            parameter.name == name and parameter.value == value
            for held in self.actions or ()
            for parameter in held.parameters or ()
        )


class Executable(Payload):
    """The build that an item of the queue became."""

    number: int
    url: str = ""


class QueueItem(_WithParameters):
    """`GET /queue/item/ID/api/json`."""

    id: int
    why: str | None = None
    cancelled: bool = False
    executable: Executable | None = None


class Queue(Payload):
    """`GET /queue/api/json`."""

    items: tuple[QueueItem, ...] = ()


class BuildState(_WithParameters):
    """`GET /job/NAME/NUMBER/api/json`."""

    number: int
    url: str = ""
    building: bool = False
    result: str | None = None
    duration: int = 0
    display_name: str | None = Field(default=None, alias="displayName")


class Builds(Payload):
    """Some builds of a job, the newest first."""

    builds: tuple[BuildState, ...] = Field(alias="allBuilds")
