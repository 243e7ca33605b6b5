"""A storm of requests that are refused does not fill the disk with lines."""

from __future__ import annotations

import logging

import pytest

from core.bucket import Seldom
from integrations import intake as module
from tests.support.intake import Intake, post, signed


@pytest.fixture(autouse=True)
def _slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine may take long: a second is an hour here."""
    monkeypatch.setattr(module, "Seldom", lambda _every_s: Seldom(3600.0))


async def test_all_addresses_at_which_nothing_is_configured_are_one_line(
    intake: Intake, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "integrations.intake")
    for number in range(50):
        status, _ = await post(intake, b"{}", signed(b"{}"), to=f"no-such-{number}")
        assert status == 404
    (line,) = caplog.messages
    assert line.startswith("webhook 'no-such-0': 404 from 127.0.0.1: no webhook is configured")


async def test_each_sender_has_a_line_for_each_reason(
    intake: Intake, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "integrations.intake")
    for _ in range(5):
        await post(intake, b"{}", signed(b"{ }"))
        await post(intake, b"{}", {**signed(b"{}"), "Content-Type": "text/plain"})
        await post(intake, b"{}", {"Content-Type": "application/json"}, to="alertmanager")
    assert sorted(line.split(" from ")[0] for line in caplog.messages) == [
        "webhook 'alertmanager': 401",
        "webhook 'github': 401",
        "webhook 'github': 415",
    ]
