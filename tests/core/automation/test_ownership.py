"""Who is told of an event: the channel of the owner whom a file names, else the trigger's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.automation import AITrigger
from core.consistency.places import located
from core.consistency.starting import trigger_problems
from core.errors import ConfigurationError
from core.ownership import OwnerRule, read_owners
from core.triggers.targets import Targets
from tests.core.automation.events import event
from tests.core.workflows.parts import state

CATALOGUE = """\
services:
  checkout: {owner: shop}
  acme/pay-*: {owner: payments}
owners:
  shop: {channel: "#shop"}
  payments: {channel: "#payments", on_call: payments-oncall}
"""
# The example of GitHub's page "About code owners", shortened.
CODEOWNERS = """\
# These owners will be the default owners for everything in the repo.
*       @acme/everybody
*.js    @js-owner #This is an inline comment.
/build/logs/ @doctocat
docs/*  docs@example.com
apps/ @octocat
/apps/github
[Database]
/db/my\\ data/ @acme/nobody @acme/dba
"""
CHANNELS = {
    "@acme/everybody": "#all",
    "@js-owner": "#web",
    "docs@example.com": "#docs",
    "@octocat": "#apps",
    "@acme/dba": "#data",
}


def trigger(**fields: Any) -> AITrigger:
    base = {"id": "t", "integration": "github", "event": "ci.failed", "channel": "#ops"}
    return AITrigger.model_validate(base | fields)


def told(folder: Path, rule: dict[str, Any], **attributes: Any) -> tuple[str, str | None]:
    one = trigger(owner=rule)
    owner = Targets(state(folder, triggers={"t": one})).of(one, event("e1", **attributes))
    return owner.channel, owner.on_call


@pytest.mark.parametrize(
    ("service", "channel", "on_call"),
    [
        ("checkout", "#shop", None),
        ("acme/pay-api", "#payments", "payments-oncall"),
        ("acme/other", "#ops", None),
        ("Checkout", "#ops", None),
        ("", "#ops", None),
        (None, "#ops", None),
        (7, "#ops", None),
        (["x", "acme/pay-web", "checkout"], "#payments", "payments-oncall"),
    ],
)
def test_a_catalogue_names_the_owner_of_a_service(
    tmp_path: Path, service: Any, channel: str, on_call: str | None
) -> None:
    (tmp_path / "catalogue.yaml").write_text(CATALOGUE)
    rule = {"of": "${event.service}", "file": "catalogue.yaml"}
    assert told(tmp_path, rule, service=service) == (channel, on_call)
    assert told(tmp_path, rule) == ("#ops", None), "the event says nothing of a service"


@pytest.mark.parametrize(
    ("path", "channel"),
    [
        ("README", "#all"),
        ("src/app.js", "#web"),
        ("docs/index.md", "#docs"),
        ("docs/build/x.md", "#all"),
        ("/apps/x/y", "#apps"),
        ("apps/github/x", "#ops"),  # a line without owners: nobody owns it
        ("build/logs/today", "#ops"),  # an owner without a channel
        ("db/my data/x", "#data"),  # the second owner has one
    ],
)
def test_codeowners_name_the_owner_of_a_path(tmp_path: Path, path: str, channel: str) -> None:
    (tmp_path / "CODEOWNERS").write_text(CODEOWNERS)
    rule = {"of": "${event.path}", "file": "CODEOWNERS", "channels": CHANNELS}
    assert told(tmp_path, rule, path=path) == (channel, None)


@pytest.mark.parametrize(
    ("name", "text", "channels", "problem"),
    [
        ("catalogue.yaml", "services: {a: {owner: x}}\nowners: {}\n", {}, ":1: services.a.owner"),
        ("catalogue.yaml", "services: {}\nowners:\n  a: {channel: ops}\n", {}, ":3: owners.a.chan"),
        ("catalogue.yaml", CATALOGUE, {"@a": "#a"}, "'channels' is for a CODEOWNERS file"),
        ("CODEOWNERS", "# no\n* @a nobody\n", {"@a": "#a"}, ":2: 'nobody' is no owner"),
        ("CODEOWNERS", "* @a\n/x[ @a\n", {"@a": "#a"}, ":2: the pattern cannot be read"),
        ("CODEOWNERS", "[Docs] @a\n* @a\n", {"@a": "#a"}, ":1: owners of a whole section"),
        ("CODEOWNERS", "[Docs][2]\n* @a\n", {"@a": "#a"}, ":1: owners of a whole section"),
        ("CODEOWNERS", "* @a\n", {"@b": "#b"}, "names @b, whom the file does not; it names @a"),
        ("CODEOWNERS", "* @a\n", {}, "give 'channels' beside it"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_line(
    tmp_path: Path, name: str, text: str, channels: dict[str, str], problem: str
) -> None:
    (tmp_path / name).write_text(text)
    rule = OwnerRule(of="x", file=name, channels=channels)
    with pytest.raises(ConfigurationError) as caught:
        read_owners(tmp_path, rule)
    assert problem in str(caught.value)
    assert name in str(caught.value)


def test_a_check_names_the_trigger_and_the_file_that_is_missing(tmp_path: Path) -> None:
    rule = {"of": "${event.service +}", "file": "CODEOWNERS"}
    one = trigger(owner=rule)
    problems = list(trigger_problems(state(tmp_path, triggers={"t": one}), one))
    found = "\n".join(located(problems))
    assert "triggers/t.yaml: owner.of: " in found
    assert "owner.file: " in found
    assert f"{tmp_path / 'CODEOWNERS'}: cannot be read: No such file or directory." in found


def test_a_check_reads_the_expressions_of_groups_and_quiet_hours(tmp_path: Path) -> None:
    night = {"windows": [{"from": "22:00", "to": "07:00"}], "unless": "event.severity + 1"}
    one = trigger(group={"by": "${event.}"}, quiet=night)
    found = "\n".join(located(trigger_problems(state(tmp_path, triggers={"t": one}), one)))
    assert "triggers/t.yaml: group.by: " in found
    one = trigger(quiet=night | {"unless": "size(event.title)"})
    found = "\n".join(located(trigger_problems(state(tmp_path, triggers={"t": one}), one)))
    assert "triggers/t.yaml: quiet.unless: " in found
    assert "must be true or false" in found


@pytest.mark.parametrize("file", ["../CODEOWNERS", "/etc/passwd", "a/../b", "a//b", ".", "..", ""])
def test_the_file_is_below_the_configuration_folder(file: str) -> None:
    with pytest.raises(ValueError, match="file"):
        OwnerRule(of="x", file=file)


def test_the_file_may_lie_in_a_folder_that_begins_with_a_dot() -> None:
    assert OwnerRule(of="x", file=".github/CODEOWNERS").file == ".github/CODEOWNERS"
