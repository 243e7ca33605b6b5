"""The parts of an Argo CD Application that are looked at, in its API and in its notifications.

https://argo-cd.readthedocs.io/en/stable/operator-manual/application.yaml
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field, JsonValue, model_validator
from pydantic.alias_generators import to_camel

from integrations.webhooks import Payload


class Part(Payload):
    """A part of an Application. Go writes what is empty as null, or leaves it out."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: item for name, item in value.items() if item is not None}
        return value


class Source(Part):
    """Where manifests come from."""

    repo_url: str = Field(default="", alias="repoURL")
    path: str = ""
    chart: str = ""
    target_revision: str = ""


class Destination(Part):
    """Where they go."""

    server: str = ""
    name: str = ""
    namespace: str = ""


class SyncPolicy(Part):
    """`automated` is set where Argo CD syncs by itself."""

    automated: dict[str, JsonValue] | None = None

    @property
    def is_automatic(self) -> bool:
        """Whether a rollback would be undone at once; Argo CD refuses it then."""
        return self.automated is not None and self.automated.get("enabled") is not False


class Spec(Part):
    """What an application is to be; one source, or several."""

    project: str = ""
    source: Source | None = None
    sources: tuple[Source, ...] = ()
    destination: Destination = Field(default_factory=Destination)
    sync_policy: SyncPolicy = Field(default_factory=SyncPolicy)

    @property
    def first_source(self) -> Source:
        """The one that is shown."""
        return self.source or next(iter(self.sources), Source())


class Metadata(Part):
    """Its name, and the namespace that the Application is in (not where it deploys to)."""

    name: str = Field(min_length=1, max_length=253)
    namespace: str = Field(default="", max_length=253)


class Info(Part):
    """A note on an operation."""

    name: str
    value: str


class SyncOperation(Part):
    """What a sync was asked to do."""

    revision: str = ""
    dry_run: bool = False
    prune: bool = False


class InitiatedBy(Part):
    """Who asked for it."""

    username: str = ""
    automated: bool = False


class Operation(Part):
    """Something that was asked for."""

    sync: SyncOperation | None = None
    info: tuple[Info, ...] = ()
    initiated_by: InitiatedBy = Field(default_factory=InitiatedBy)

    @property
    def is_dry(self) -> bool:
        """Whether nothing is to change."""
        return self.sync is not None and self.sync.dry_run


class ResourceResult(Part):
    """What became of one object."""

    kind: str = ""
    namespace: str = ""
    name: str = ""
    status: str = ""
    message: str = ""
    hook_type: str = ""


class SyncResult(Part):
    """What became of all."""

    revision: str = ""
    resources: tuple[ResourceResult, ...] = ()


class OperationState(Part):
    """The last operation, running or over."""

    phase: str
    message: str = ""
    operation: Operation = Field(default_factory=Operation)
    started_at: datetime | None = None
    finished_at: datetime | None = None
    sync_result: SyncResult = Field(default_factory=SyncResult)


class SyncStatus(Part):
    """Whether the cluster is what the repository says."""

    status: str = "Unknown"
    revision: str = ""
    revisions: tuple[str, ...] = ()


class HealthStatus(Part):
    """How its objects are, together."""

    status: str = "Unknown"
    message: str = ""
    last_transition_time: datetime | None = None


class Deployed(Part):
    """One entry of its history; `id` is what a rollback names."""

    id: int = 0
    revision: str = ""
    deployed_at: datetime | None = None


class Resource(Part):
    """One object of an application."""

    kind: str = ""
    namespace: str = ""
    name: str = ""
    status: str = ""
    health: HealthStatus | None = None


class Summary(Part):
    """What it consists of."""

    images: tuple[str, ...] = ()


class Status(Part):
    """What an application is."""

    sync: SyncStatus = Field(default_factory=SyncStatus)
    health: HealthStatus = Field(default_factory=HealthStatus)
    history: tuple[Deployed, ...] = ()
    operation_state: OperationState | None = None
    resources: tuple[Resource, ...] = ()
    summary: Summary = Field(default_factory=Summary)
    reconciled_at: datetime | None = None


class Application(Part):
    """An application. `operation` is set from the request until Argo CD begins it."""

    metadata: Metadata
    spec: Spec = Field(default_factory=Spec)
    status: Status = Field(default_factory=Status)
    operation: Operation | None = None

    @property
    def title(self) -> str:
        """Namespace and name, or the name alone where Argo CD says no namespace."""
        return "/".join(part for part in (self.metadata.namespace, self.metadata.name) if part)


class Version(Part):
    """What `/api/version` answers."""

    version: str = Field(alias="Version")


class Notification(Part):
    """What our template (docs/integrations/argocd.md) posts.

    Attributes:
        url: of Argo CD's own pages.
        operation_state: the application's `status.operationState`; of other parts of the status,
            what is said of it is what stood there when the notification was made.
    """

    event: Literal["sync", "health"]
    url: str = Field(default="", max_length=1000)
    metadata: Metadata
    spec: Spec
    sync: SyncStatus = Field(default_factory=SyncStatus)
    health: HealthStatus = Field(default_factory=HealthStatus)
    operation_state: OperationState | None = None
    reconciled_at: datetime | None = None
