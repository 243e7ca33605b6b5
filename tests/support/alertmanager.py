"""Debian's real `prometheus-alertmanager`, with one webhook receiver."""

import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from string import Template

import aiohttp
import pytest

from tests.support.processes import free_port, server

_CONFIGURATION = Template("""\
route:
  receiver: countersign
  group_by: [alertname, service]
  group_wait: 50ms
  group_interval: 200ms
  repeat_interval: 1h
receivers:
  - name: countersign
    webhook_configs:
      - url: $url
        send_resolved: true
        http_config:
          authorization:
            credentials: $token
""")


class Alertmanager:
    """A running Alertmanager."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session
        self._started_at = datetime.now(UTC)

    async def fire(self, labels: Mapping[str, str], annotations: Mapping[str, str]) -> None:
        """An alert starts, as Prometheus would tell it; `labels` has its `alertname`."""
        await self._post(labels, annotations, datetime.now(UTC) + timedelta(hours=1))

    async def resolve(self, labels: Mapping[str, str], annotations: Mapping[str, str]) -> None:
        """The alert with these labels ends."""
        await self._post(labels, annotations, datetime.now(UTC))

    async def _post(
        self, labels: Mapping[str, str], annotations: Mapping[str, str], ends_at: datetime
    ) -> None:
        alert = {
            "labels": dict(labels),
            "annotations": dict(annotations),
            "startsAt": self._started_at.isoformat(),
            "endsAt": ends_at.isoformat(),
            "generatorURL": "http://prometheus.example/graph?g0.expr=up",
        }
        async with self.session.post(f"{self.url}/api/v2/alerts", json=[alert]) as response:
            assert response.status == 200, await response.text()


@asynccontextmanager
async def alertmanager(folder: Path, webhook_url: str, token: str) -> AsyncIterator[Alertmanager]:
    """Start it with `webhook_url` as its only receiver; `folder` takes its data and log."""
    program = shutil.which("prometheus-alertmanager")
    if program is None:
        pytest.fail(
            "prometheus-alertmanager is missing: install the package of that name, "
            "e.g. apt install prometheus-alertmanager"
        )
    configuration = folder / "alertmanager.yml"
    configuration.write_text(_CONFIGURATION.substitute(url=webhook_url, token=token))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        program,
        f"--config.file={configuration}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    async with (
        server(command, f"{url}/-/ready", folder / "alertmanager.log"),
        aiohttp.ClientSession() as session,
    ):
        yield Alertmanager(url, session)
