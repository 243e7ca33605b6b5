"""Altered payloads over every parser: what reads bytes from outside is never surprised.

`COUNTERSIGN_TEST_PAYLOADS` says how many in all; the full number is 100,000.
"""

import importlib
import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from core.records import Event
from integrations.registry import discover
from integrations.webhooks import Identity, MalformedDeliveryError, SignatureError, Webhook
from tests.support.mutations import Sample, altered, samples
from tests.support.source_cases import SourceCase, SourceChecks, lower

NOW = datetime.now(UTC)


def _cases() -> Iterator[tuple[str, SourceCase]]:
    """Every way of signing that a test module knows."""
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        if path != Path(__file__) and "SourceChecks" in path.read_text():
            module = importlib.import_module(f"tests.integrations.{path.stem}")
            for name, found in sorted(vars(module).items()):
                is_class = isinstance(found, type) and issubclass(found, SourceChecks)
                if is_class and "case" in vars(found):
                    yield f"{found.case.integration.kind}-{name}", found.case


CASES = dict(_cases())
IN_ALL = int(os.environ.get("COUNTERSIGN_TEST_PAYLOADS", "4000"))


def _samples(case: SourceCase) -> list[Sample]:
    return [*samples(case.integration.kind), Sample("case", case.body)]


def _headers(
    case: SourceCase, secret: str, body: bytes, given: Mapping[str, str]
) -> dict[str, str]:
    """Signed, with the sample's headers in place of those of the case."""
    proofs = {name.lower() for name in case.proofs}
    signed = lower(case.headers(secret, body, NOW))
    return signed | {n: v for n, v in lower(given).items() if n not in proofs}


def test_every_kind_that_takes_webhooks_is_here() -> None:
    taking = {kind for kind, found in discover().items() if find_spec(f"{_package(found)}.webhook")}
    assert taking - {case.integration.kind for case in CASES.values()} == set()


def _package(integration: type) -> str:
    return integration.__module__.rpartition(".")[0]


@pytest.mark.parametrize("name", CASES)
def test_altered_payloads(name: str) -> None:
    case = CASES[name]
    webhook, known = case.webhook(), _samples(case)

    @settings(
        max_examples=-(-IN_ALL // len(CASES)),
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 2**64 - 1))
    def hold(seed: int) -> None:
        chance = Random(seed)
        sample = chance.choice(known)
        body, headers = altered(chance, sample)
        note(f"seed {seed}: {sample.name} {headers}: {body[:3000]!r}")
        _refused(case, webhook, sample, body, headers)
        _read(case, webhook, body, headers)

    hold()


def _refused(
    case: SourceCase, webhook: Webhook, sample: Sample, body: bytes, headers: Mapping[str, str]
) -> None:
    """Whatever the body is: without the sender's proof there is no delivery."""
    with pytest.raises(SignatureError):
        webhook.verify(_headers(case, case.wrong_secret, body, headers), body, NOW)
    if case.signs_body and body != sample.body:
        with pytest.raises(SignatureError):
            webhook.verify(_headers(case, case.secret, sample.body, headers), body, NOW)


def _read(case: SourceCase, webhook: Webhook, body: bytes, headers: Mapping[str, str]) -> None:
    """With its proof, it is read or it is malformed."""
    signed = _headers(case, case.secret, body, headers)
    try:
        identity = webhook.verify(signed, body, NOW)
    except (SignatureError, MalformedDeliveryError):
        return
    _require_identity(identity)
    kept = {k: v for k, v in signed.items() if k not in webhook.secret_headers}
    try:
        events = webhook.normalise(kept, body)
    except MalformedDeliveryError:
        return
    for event in events:
        _require_event(event, webhook)
    assert len({event.id for event in events}) == len(events)
    assert webhook.normalise(kept, body) == events


def _require_identity(identity: Identity) -> None:
    assert 1 <= len(identity.key) <= 200
    assert len(identity.subject) <= 300
    text = identity.key + identity.subject
    assert "\x00" not in text
    text.encode()


def _require_event(event: Event, webhook: Webhook) -> None:
    """It can be stored, shown on a line, and matched on."""
    assert Event.model_validate(event.model_dump()) == event
    assert event.source == webhook.id
    assert event.title.isprintable()
    written = json.dumps(event.model_dump(mode="json"), allow_nan=False, ensure_ascii=False)
    assert "\\u0000" not in written
    assert len(written.encode()) < 300_000
    for name, value in event.attributes.items():
        items = value if isinstance(value, list) else [value]
        assert all(isinstance(item, str | int | float | bool) for item in items), name
        if name == "url" or name.endswith("_url"):
            given = [str(item).lower() for item in items if item]
            assert all(item.startswith(("http://", "https://")) for item in given), name
