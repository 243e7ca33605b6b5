"""Debian's real `prometheus`, which scrapes one page of metrics that the test writes."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from string import Template

import pytest
from aiohttp import web

from tests.support.processes import free_port, server

_CONFIGURATION = Template("""\
global:
  scrape_interval: 100ms
  evaluation_interval: 100ms
scrape_configs:
  - job_name: shop
    static_configs:
      - targets: ["$target"]
rule_files: ["$rules"]
alerting:
  alertmanagers:
    - static_configs:
        - targets: [$alertmanager]
""")
_RULES = """\
groups:
  - name: queue
    rules:
      - alert: QueueBacklog
        expr: queue_length > 100
        labels: {severity: critical, service: checkout}
        annotations:
          summary: "{{ $value }} messages wait"
          runbook_url: https://runbooks.example/queue-backlog
"""


class Metrics:
    """A page of metrics in the text format.

    Attributes:
        lines: what is served, such as `queue_length 12`.
    """

    def __init__(self) -> None:
        self.lines = ["queue_length 12"]
        self.target = ""

    async def page(self, request: web.Request) -> web.Response:
        """Answer a scrape."""
        return web.Response(text="\n".join([*self.lines, ""]))


class RunningPrometheus:
    """A running server, and the page that it scrapes."""

    def __init__(self, url: str, metrics: Metrics) -> None:
        self.url = url
        self.metrics = metrics


@asynccontextmanager
async def metrics() -> AsyncIterator[Metrics]:
    """Serve a page of metrics on a free port."""
    page = Metrics()
    app = web.Application()
    app.router.add_get("/metrics", page.page)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    page.target = f"127.0.0.1:{runner.addresses[0][1]}"
    yield page
    await runner.cleanup()


@asynccontextmanager
async def prometheus(
    folder: Path, alertmanager_url: str | None = None
) -> AsyncIterator[RunningPrometheus]:
    """Start it; its only alert fires while `queue_length` is above 100."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.fail("prometheus is missing: install the package, e.g. apt install prometheus")
    rules, configuration = folder / "rules.yml", folder / "prometheus.yml"
    rules.write_text(_RULES)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with metrics() as page:
        to = f'"{alertmanager_url.removeprefix("http://")}"' if alertmanager_url else ""
        configuration.write_text(
            _CONFIGURATION.substitute(target=page.target, rules=rules, alertmanager=to)
        )
        command = [
            program,
            f"--config.file={configuration}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        async with server(command, f"{url}/-/ready", folder / "prometheus.log"):
            yield RunningPrometheus(url, page)
