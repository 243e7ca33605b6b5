"""The intake's OpenAPI document, held to by schemathesis; and the handshake of CloudEvents."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from openapi_spec_validator import validate

from core.security.secrets import Secrets
from core.state import AIIntegration
from integrations.registry import Integrations, load
from tests.support.intake import ALERTMANAGER_TOKEN, Intake

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_headers_conformance,response_schema_conformance,negative_data_rejection,"
    "unsupported_method,allow_header_conformance"
)


@pytest.fixture
def integrations() -> Integrations:
    token = {"webhook": "TOKEN"}
    bearer = {"proof": {"token": {}}}
    records = [
        AIIntegration(id="generic", kind="generic", settings=bearer, secrets=token),
        AIIntegration(id="cloudevents", kind="cloudevents", secrets=token),
        AIIntegration(id="github", kind="github", secrets=token),
        AIIntegration(id="alertmanager", kind="alertmanager", secrets={"token": "TOKEN"}),
    ]
    return load({one.id: one for one in records}, Secrets({"TOKEN": ALERTMANAGER_TOKEN}))


async def test_it_is_openapi_and_names_what_the_senders_send_but_not_the_senders(
    intake: Intake,
) -> None:
    async with intake.session.get(f"{intake.url}/webhooks/openapi.json") as response:
        assert response.status == 200
        document = await response.json()
    validate(document)
    post = document["paths"]["/webhooks/{integration}"]["post"]
    assert set(post["requestBody"]["content"]) == {
        "application/json",
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
    }
    assert "alertmanager" not in str(document)


@pytest.mark.slow
@pytest.mark.parametrize("integration", [None, "generic", "cloudevents", "github", "alertmanager"])
async def test_schemathesis_finds_nothing_that_the_document_does_not_say(
    intake: Intake, tmp_path: Path, integration: str | None
) -> None:
    """With a token that is right for all but GitHub; without an id, for any name."""
    if integration is not None:
        (tmp_path / "schemathesis.toml").write_text(
            f'parameters = {{ integration = "{integration}" }}\n'
        )
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "schemathesis"),
        "run",
        f"{intake.url}/webhooks/openapi.json",
        f"--checks={CHECKS}",
        f"--header=Authorization: Bearer {ALERTMANAGER_TOKEN}",
        f"--max-examples={os.environ.get('COUNTERSIGN_TEST_EXAMPLES', '60')}",
        "--phases=examples,coverage,fuzzing",
        "--seed=4",
        "--no-color",
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(500):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()[-6000:]
    assert " 3 passed" in output.decode()
    stored = await intake.stored()
    if integration == "generic":  # what is signed and JSON is taken, whatever it is
        assert stored
    if integration in {None, "github"}:
        assert stored == []


class TestConsent:
    """https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/http-webhook.md"""

    async def ask(self, intake: Intake, to: str, origin: str | None) -> tuple[int, dict[str, str]]:
        headers = {} if origin is None else {"WebHook-Request-Origin": origin}
        async with intake.session.options(f"{intake.url}/webhooks/{to}", headers=headers) as answer:
            return answer.status, dict(answer.headers)

    async def test_a_sender_that_asks_may_send(self, intake: Intake) -> None:
        status, headers = await self.ask(intake, "cloudevents", "eventemitter.example.com")
        assert status == 200
        assert headers["WebHook-Allowed-Origin"] == "eventemitter.example.com"
        assert "POST" in headers["Allow"]

    async def test_without_an_origin_there_is_no_consent(self, intake: Intake) -> None:
        status, headers = await self.ask(intake, "cloudevents", None)
        assert status == 200
        assert "WebHook-Allowed-Origin" not in headers

    @pytest.mark.parametrize("origin", ["", "a b", "x" * 300, "<script>"])
    async def test_an_origin_that_is_none(self, intake: Intake, origin: str) -> None:
        assert (await self.ask(intake, "cloudevents", origin))[0] == 400

    async def test_nobody_is_there(self, intake: Intake) -> None:
        assert (await self.ask(intake, "nobody", "example.com"))[0] == 404
