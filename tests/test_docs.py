"""The documentation says what is so: names, links, examples, and the generated page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
from pydantic import BaseModel
from ruamel.yaml import YAML

from bot.blocks.help import BY_NAME
from bot.checking import actions_of
from bot.cli import app
from core.automation import AISchedule, AITrigger
from core.security.policy import Policy
from core.settings import Settings
from core.starter import write_starter
from core.state import AIIntegration, AIModel, AIWorkflow, ApplicationState
from core.workflows.actions import ActionRegistry
from core.workflows.describe import describe
from core.workflows.guardrails import kinds
from core.workflows.guardrails.base import Written
from integrations.alertmanager.integration import AlertmanagerSettings
from integrations.argocd.integration import ArgoCDSettings
from integrations.base import read_settings
from integrations.buildkite.integration import BuildkiteSettings
from integrations.circleci.integration import CircleCISettings
from integrations.command.integration import CommandSettings
from integrations.git.integration import GitSettings
from integrations.github.integration import GitHubSettings
from integrations.gitlab.integration import GitLabSettings
from integrations.grafana.integration import GrafanaSettings
from integrations.http.actions import HttpRequest
from integrations.http.integration import HttpSettings
from integrations.http.request import Host
from integrations.jenkins.integration import JenkinsSettings
from integrations.kubernetes.integration import KubernetesSettings
from integrations.mcp.integration import McpSettings
from integrations.pagerduty.integration import PagerDutySettings
from integrations.prometheus.integration import PrometheusSettings
from integrations.sentry.integration import SentrySettings

ROOT = Path(__file__).parent.parent
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"]

_CODE = re.compile(r"^```.*?^```$|`[^`\n]+`|^    [^\n]*$", re.DOTALL | re.MULTILINE)
_COMMAND = re.compile(r"^[` ]*(?:[A-Z_]+=\S+ )*countersign ([a-z][^\n`…]*)", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_NOT_SETTINGS = {  # of programs; of a command; of tests
    "COUNTERSIGN_KEY",
    "COUNTERSIGN_OWNER_URL",
    "COUNTERSIGN_TEST_KILLS",
    "COUNTERSIGN_TEST_SEED",
}
_IDENTIFIED: dict[str, type[BaseModel]] = {
    "steps": AIWorkflow,
    "kind": AIIntegration,
    "cron": AISchedule,
    "event": AITrigger,
    "modality": AIModel,
}
_SETTINGS: dict[str, type[BaseModel]] = {
    "argocd": ArgoCDSettings,
    "alertmanager": AlertmanagerSettings,
    "buildkite": BuildkiteSettings,
    "circleci": CircleCISettings,
    "command": CommandSettings,
    "git": GitSettings,
    "github": GitHubSettings,
    "gitlab": GitLabSettings,
    "grafana": GrafanaSettings,
    "http": HttpSettings,
    "jenkins": JenkinsSettings,
    "kubernetes": KubernetesSettings,
    "mcp": McpSettings,
    "pagerduty": PagerDutySettings,
    "prometheus": PrometheusSettings,
    "sentry": SentrySettings,
}


def _named(page: Path) -> str:
    return str(page.relative_to(ROOT))


class Snippet(NamedTuple):
    """A fenced block of a page."""

    page: Path
    language: str
    text: str


def code(page: Path) -> Iterator[str]:
    """What stands as code, in a line or in blocks."""
    yield from _CODE.findall(page.read_text())


def snippets(language: str) -> list[Snippet]:
    """The fenced blocks of a language on all pages."""
    fenced = re.compile(rf"^```{language}\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    return [
        Snippet(page, language, text) for page in PAGES for text in fenced.findall(page.read_text())
    ]


def anchors(page: Path) -> set[str]:
    """The headings' anchors, as GitHub makes them."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def commands(
    group: Any, prefix: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], set[str]]]:
    """Every command of the command line with its options."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*prefix, name))
        else:
            yield (*prefix, name), {option for p in command.params for option in p.opts}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home = tmp_path_factory.mktemp("home")
    write_starter(home)
    return Settings(home=home)


def test_the_generated_page_is_up_to_date(settings: Settings) -> None:
    state = ApplicationState.load(settings.config_dir)
    page = describe(state, actions_of(settings, state), settings.command)
    assert (ROOT / "docs" / "ai.md").read_text() == page, (
        "docs/ai.md is stale: in a fresh home, run `countersign docs > docs/ai.md`"
    )


def test_the_generated_page_names_everything_of_the_configuration(settings: Settings) -> None:
    state = ApplicationState.load(settings.config_dir)
    page = describe(state, actions_of(settings, state), settings.command)
    for workflow in state.workflows.values():
        assert f"### {workflow.name}\n" in page
        assert workflow.objective in page
        assert all(f"| `{name}` |" in page for name in workflow.parameters)
        assert all(f"| {step.name} | `{step.action}` |" in page for step in workflow.steps)
    for assistant in state.assistants.values():
        assert f"### {assistant.name}\n" in page
    for role in state.policy.roles:
        assert f"| `{role}` |" in page


def test_a_workflow_without_approval_of_its_own_has_the_policys(settings: Settings) -> None:
    state = ApplicationState.load(settings.config_dir)
    bare = state.workflows["revert-commit"].model_copy(update={"guardrails": ()})
    state = state.model_copy(
        update={"workflows": {bare.id: bare}, "assistants": {}, "triggers": {}, "schedules": {}}
    )
    page = describe(state, actions_of(settings, state), "/sre")
    assert "Countersigned by 1 person with the role approver or lead, not the requester" in page
    assert "within 4 h" in page
    assert "    /sre run revert-commit [repository=…] commit=… [reason=…]\n" in page


@pytest.mark.parametrize("page", PAGES, ids=_named)
def test_every_command_and_option_in_the_documentation_exists(page: Path) -> None:
    known = dict(commands(typer.main.get_command(app)))
    for text in code(page):
        for line in _COMMAND.findall(text):
            words = line.split()
            name = next((n for n in known if tuple(words[: len(n)]) == n), None)
            assert name is not None, f"{page.name}: there is no command `countersign {line}`"
            options = {word for word in words if word.startswith("--")}
            assert options <= known[name], f"{page.name}: `countersign {line}`"


@pytest.mark.parametrize("page", PAGES, ids=_named)
def test_every_verb_and_workflow_in_the_documentation_exists(
    page: Path, settings: Settings
) -> None:
    state = ApplicationState.load(settings.config_dir)
    written = {path.stem for path in _files_of_snippets()}
    for text in code(page):
        for verb, rest in re.findall(r"/ops ([a-z][a-z-]*) ?([a-z][\w-]*)?", text):
            assert verb in BY_NAME or "failed with the error" in text, f"{page.name}: /ops {verb}"
            if verb == "run" and rest:
                assert rest in state.workflows or rest in written, f"{page.name}: {rest}"


@pytest.mark.parametrize("page", PAGES, ids=_named)
def test_every_setting_in_the_documentation_exists(page: Path) -> None:
    known = {f"COUNTERSIGN_{name.upper()}" for name in Settings.model_fields} | _NOT_SETTINGS
    assert set(re.findall(r"COUNTERSIGN_[A-Z_]+(?<!_)", page.read_text())) <= known


def test_every_setting_is_documented() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    for name in Settings.model_fields:
        assert f"| `COUNTERSIGN_{name.upper()}` |" in page


@pytest.mark.parametrize("page", PAGES, ids=_named)
def test_every_internal_link_leads_somewhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        file, _, anchor = target.partition("#")
        found = (page.parent / file).resolve() if file else page
        assert found.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(found), f"{page.name}: {target}"


def test_the_examples_are_what_the_records_take() -> None:
    checked = 0
    for snippet in snippets("yaml"):
        tree = YAML(typ="safe", pure=True).load(snippet.text)
        if not isinstance(tree, dict):
            continue
        record = next((found for key, found in _IDENTIFIED.items() if key in tree), None)
        if record is not None:
            made = record.model_validate({**tree, "id": "example"})
            if isinstance(made, AIIntegration) and made.kind in _SETTINGS:
                read_settings(made, _SETTINGS[made.kind])
            checked += 1
        elif "guardrails" in tree:
            AIWorkflow.model_validate(
                {
                    **tree,
                    "id": "example",
                    "name": "Example",
                    "objective": "Shows guardrails.",
                    "steps": [{"id": "say", "name": "Say", "action": "slack.post"}],
                }
            )
            checked += 1
    assert checked >= 10


def test_the_policy_in_the_docs_is_one() -> None:
    trees = [YAML(typ="safe", pure=True).load(snippet.text) for snippet in snippets("yaml")]
    policies = [tree for tree in trees if isinstance(tree, dict) and "grants" in tree]
    assert [Policy.model_validate(tree).unknown_roles() for tree in policies] == [set()]


def test_every_guardrail_has_an_example() -> None:
    page = (ROOT / "docs" / "guardrails.md").read_text()
    shown = set(re.findall(r"^  - type: (\w+)$", page, re.MULTILINE))
    assert shown == {kind.model_fields["type"].default for kind in kinds()}
    rows = re.findall(r"^\| \[(\w+)\]\(#.*\| (yes|no) \|$", page, re.MULTILINE)
    gives_way = {kind.model_fields["type"].default: kind.overridable for kind in kinds()}
    assert {name: answer == "yes" for name, answer in rows} == gives_way


def test_the_guardrails_in_the_examples_fit_their_workflows(settings: Settings) -> None:
    """As `countersign check` sees it, where an HTTP integration and the calendar are there too."""
    state = ApplicationState.load(settings.config_dir)
    hosts = {name: Host() for name in ("inventory.example.com", "ci.example.com")}
    actions = ActionRegistry(
        [*actions_of(settings, state), HttpRequest("http.yaml", hosts, {}, {}, 1000)]
    )
    calendar = settings.config_dir / "calendars" / "operations.ics"
    calendar.parent.mkdir(exist_ok=True)
    calendar.write_text("BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n")
    checked = 0
    for snippet in snippets("yaml"):
        tree = YAML(typ="safe", pure=True).load(snippet.text)
        if snippet.page.name != "guardrails.md" or "guardrails" not in tree:
            continue
        step = {"id": "revert", "name": "Revert", "action": "git.revert"}
        made = AIWorkflow.model_validate(
            {**tree, "id": "x", "name": "X", "objective": "x", "steps": [step]}
        )
        written = Written(
            folder=settings.config_dir,
            parameters={name: str(one.type) for name, one in made.parameters.items()},
            targets=made.targets,
            calls=("git.revert",),
            actions=actions,
        )
        for guardrail in made.guardrails:
            assert list(guardrail.problems(written)) == []
            checked += 1
    assert checked >= len(kinds())


def _files_of_snippets() -> Iterator[Path]:
    """Files that the pages tell the reader to write."""
    for page in PAGES:
        for name in re.findall(r"config/workflows/([a-z-]+\.yaml)", page.read_text()):
            yield Path(name)
