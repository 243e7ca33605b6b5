"""Every setting of Countersign in one place, read from the environment (`COUNTERSIGN_…`)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ByteSize, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Settings with their defaults; nothing has to be set to try Countersign.

    Attributes:
        home: folder for configuration, data, models and logs.
        database_url: SQLAlchemy URL; None means SQLite in `home/data`.
        slack_api_url: base of Slack's Web API, ending in `/`; the local workspace has its own.
        public_url: how people reach our HTTP service, for links; None means its own address.
        runbook_url: where people read the runbooks, e.g. on the team's Git server; None means
            our own HTTP service, which has no log-in and so shows them on loopback only.
        orchestrator_url: base URLs of OpenAI-compatible servers (`http://host:8000/v1`),
            separated by commas; None runs the models on this machine.
        model_port: where the models on this machine can be asked by people's own tools, on
            loopback; 0 takes any free port.
        model_token: the bearer token there; None makes up one at each start.
        audit_file: a file that the audit log is copied to, as JSON Lines; None writes none.
        replica: name of this process among several on one database.
        replica_timeout: seconds without a sign of life after which a replica is taken for dead
            and its work taken over.
        keep_bodies: days after which the body of a delivery that was processed is removed, and the
            pictures of steps.
    """

    model_config = SettingsConfigDict(env_prefix="COUNTERSIGN_", frozen=True)

    home: Path = Path("countersign-home")
    database_url: str | None = None
    audit_file: Path | None = None
    replica: str = Field(default="local", pattern=r"^[A-Za-z0-9_-]{1,40}$")
    replica_timeout: float = Field(default=12, ge=2, le=300)
    keep_bodies: float = Field(default=30, gt=0, le=3650)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    command: str = Field(default="/ops", pattern=r"^/[a-z0-9_-]{1,31}$")
    slack_bot_token: SecretStr | None = None
    slack_app_token: SecretStr | None = None
    slack_signing_secret: SecretStr | None = None
    slack_api_url: str = "https://slack.com/api/"

    http_host: str = "127.0.0.1"
    http_port: int = Field(default=8800, ge=0, le=65535)
    public_url: str | None = None
    runbook_url: str | None = None
    workspace_port: int = Field(default=8801, ge=0, le=65535)

    orchestrator_url: str | None = None
    orchestrator_token: SecretStr | None = None
    model_threads: int = Field(default=0, ge=0, description="0: one for each core but one")
    model_queue_limit: int = Field(default=64, ge=1)
    model_precision: Literal["float32", "bfloat16", "int8", "int4"] = Field(
        default="int4", description="of the chat models' weights on this machine"
    )
    model_device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="where they run; auto: a CUDA device where torch finds one"
    )
    model_memory: ByteSize | None = Field(
        default=None, ge=1, description="for all models' weights; None: half of what there is"
    )
    model_port: int = Field(default=0, ge=0, le=65535)
    model_token: SecretStr | None = Field(default=None, min_length=16)

    @model_validator(mode="after")
    def _port_has_its_token(self) -> Settings:
        if self.model_port and self.model_token is None:
            raise ValueError(
                "COUNTERSIGN_MODEL_PORT needs COUNTERSIGN_MODEL_TOKEN, or nobody could ask there"
            )
        return self

    @property
    def config_dir(self) -> Path:
        """Folder of the YAML and Markdown files that people edit."""
        return self.home / "config"

    @property
    def data_dir(self) -> Path:
        """Folder of the databases on the embedded default."""
        return self.home / "data"

    @property
    def models_dir(self) -> Path:
        """Folder of converted models."""
        return self.home / "models"

    @property
    def adapters_dir(self) -> Path:
        """Folder of LoRA adapters that may be loaded beside the models."""
        return self.home / "adapters"

    @property
    def base_url(self) -> str:
        """Address of our HTTP service as people reach it, without a slash at the end."""
        return (self.public_url or f"http://{self.http_host}:{self.http_port}").rstrip("/")

    @property
    def on_loopback(self) -> bool:
        """Whether our HTTP service can be reached from this machine only."""
        return self.http_host in {"127.0.0.1", "localhost", "::1"}

    @property
    def secrets_file(self) -> Path:
        """File of `NAME=value` lines that only the owner can read."""
        return self.home / "secrets.env"

    @property
    def store_url(self) -> str:
        """SQLAlchemy URL of our own tables, with an asyncio driver."""
        return self.database_url or f"sqlite+aiosqlite:///{self.data_dir / 'countersign.db'}"
