"""From records to integrations: what is installed, what is wrong, who is closed."""

import sys
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigurationError, NotFoundError
from core.security.secrets import Secrets
from core.state import AIIntegration
from integrations.base import Health, Integration
from integrations.registry import Integrations, discover, load

TRUE = {"true": {"path": "/bin/true"}}


def record(name: str, kind: str, **more: Any) -> AIIntegration:
    return AIIntegration(id=name, kind=kind, **more)


def load_all(*records: AIIntegration, **secrets: str) -> Integrations:
    return load({r.id: r for r in records}, Secrets(secrets))


def test_our_own_kinds_are_found_as_those_of_others_are() -> None:
    kinds = discover()
    assert set(kinds) >= {"alertmanager", "command", "git", "github", "http"}
    assert all(kind == found.kind for kind, found in kinds.items())


class TestThirdParties:
    """A package of somebody else's, as pip would leave it on the path."""

    @staticmethod
    def install(folder: Path, name: str, source: str, target: str, kind: str = "acme") -> None:
        (folder / f"{name}.py").write_text(source)
        metadata = folder / f"{name}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(
            f"[countersign.integrations]\n{kind} = {name}:{target}\n"
        )

    @pytest.fixture
    def path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.syspath_prepend(str(tmp_path))
        for name in ("acme_plugin", "other_plugin"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        return tmp_path

    source = """
from integrations.base import Integration

class Acme(Integration):
    kind = "acme"

    @classmethod
    def create(cls, record, secrets):
        made = cls()
        made.id = record.id
        made.key = secrets.get(record.secrets["key"])
        return made

class Other:
    pass
"""

    async def test_their_kind_can_be_used(self, path: Path) -> None:
        self.install(path, "acme_plugin", self.source, "Acme")
        integrations = load_all(record("acme", "acme", secrets={"key": "ACME"}), ACME="x")
        found = integrations.get("acme")
        assert found.kind == "acme"
        assert found.webhook is None
        assert found.actions() == ()
        assert await found.health() == Health(ready=True, detail="ready")

    @pytest.mark.parametrize(
        ("target", "message"),
        [
            ("Missing", "'acme' of acme_plugin cannot be loaded"),
            ("Other", "not a subclass of integrations.base.Integration"),
        ],
    )
    def test_what_cannot_be_used_is_named(self, path: Path, target: str, message: str) -> None:
        self.install(path, "acme_plugin", self.source, target)
        with pytest.raises(ConfigurationError, match=message):
            discover()

    def test_two_packages_for_one_kind(self, path: Path) -> None:
        self.install(path, "acme_plugin", self.source, "Acme")
        self.install(path, "other_plugin", self.source, "Acme")
        with pytest.raises(ConfigurationError, match="Two packages offer"):
            discover()


def test_every_problem_has_its_line() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_all(
            record("one", "teamcity"),
            record("two", "alertmanager"),
            record("three", "alertmanager", secrets={"token": "NOWHERE"}),
            record("four", "command", settings={}),
            record("five", "git", settings={"repositories": {}}),
        )
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        f"integrations/{name}.yaml" for name in ("one", "two", "three", "four", "five")
    ]
    assert "there is no kind 'teamcity'; known: alertmanager, " in lines[0]
    assert "add `token: NAME`" in lines[1]
    assert "set the environment variable NOWHERE" in lines[2]


def test_what_is_disabled_is_not_looked_at() -> None:
    integrations = load_all(record("one", "teamcity", enabled=False))
    with pytest.raises(NotFoundError, match="Known integrations: none"):
        integrations.get("one")


def test_an_actions_name_means_one_thing() -> None:
    with pytest.raises(ConfigurationError, match=r"command\.run as integrations/tools\.yaml"):
        load_all(
            record("tools", "command", settings={"programs": TRUE}),
            record("more-tools", "command", settings={"programs": TRUE}),
        )


def test_two_alertmanagers_are_two_sources() -> None:
    integrations = load_all(
        record("eu", "alertmanager", secrets={"token": "EU"}),
        record("us", "alertmanager", secrets={"token": "US"}),
        EU="a",
        US="b",
    )
    assert [i.webhook.id for i in integrations if i.webhook] == ["eu", "us"]


class _Counted(Integration):
    kind = "counted"

    def __init__(self, name: str, *, broken: bool = False) -> None:
        self.id = name
        self.open = False
        self._broken = broken

    @classmethod
    def create(cls, record: AIIntegration, secrets: Secrets) -> "_Counted":
        return cls(record.id)

    async def start(self) -> None:
        if self._broken:
            raise OSError("no")
        self.open = True

    async def close(self) -> None:
        self.open = False


async def test_where_one_does_not_start_none_stays_open() -> None:
    first, second = _Counted("first"), _Counted("second", broken=True)
    integrations = Integrations({"first": first, "second": second})
    with pytest.raises(OSError, match="no"):
        await integrations.start()
    assert not first.open
