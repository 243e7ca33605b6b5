"""The checks that all sources share, on a sender that signs, one with a token, and Git's hook."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime

from integrations.alertmanager import AlertmanagerIntegration
from integrations.git import GitIntegration
from integrations.github import GitHubIntegration
from tests.support.mutations import PAYLOADS
from tests.support.source_cases import SourceCase, SourceChecks
from tests.support.standard_webhooks import NEW_SECRET, SECRET, WRONG_SECRET, sign

ALERTS = {
    "version": "4",
    "groupKey": '{}:{alertname="InstanceDown"}',
    "status": "firing",
    "receiver": "countersign",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "InstanceDown"},
            "startsAt": "2026-05-01T10:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z",
        }
    ],
}


def _github(secret: str, body: bytes, at: datetime) -> Mapping[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "X-GitHub-Event": "ping",
        "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "X-Hub-Signature-256": f"sha256={digest}",
    }


def _alertmanager(token: str, body: bytes, at: datetime) -> Mapping[str, str]:
    return {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}


class TestSignedBody(SourceChecks):
    case = SourceCase(
        integration=GitHubIntegration,
        sign=_github,
        body=b'{"zen": "Keep it logically awesome."}',
        kinds=(),
        proofs=("X-Hub-Signature-256",),
        needed=("X-GitHub-Delivery", "X-GitHub-Event"),
    )


class TestToken(SourceChecks):
    case = SourceCase(
        integration=AlertmanagerIntegration,
        sign=_alertmanager,
        body=json.dumps(ALERTS).encode(),
        kinds=("alert.firing",),
        secret_name="token",
        proofs=("Authorization",),
        signs_body=False,
    )


class TestHookOfGit(SourceChecks):
    case = SourceCase(
        integration=GitIntegration,
        sign=sign,
        body=(PAYLOADS / "git" / "push.json").read_bytes(),
        kinds=("push",),
        settings={"repositories": {"shop": {"path": "/nowhere/shop.git"}}},
        proofs=("webhook-id", "webhook-timestamp", "webhook-signature"),
        signs_time=True,
        secret=SECRET,
        new_secret=NEW_SECRET,
        wrong_secret=WRONG_SECRET,
    )
