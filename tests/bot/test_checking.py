"""What `countersign check` says beyond what single records say."""

from __future__ import annotations

from pathlib import Path

from bot.checking import check
from core.settings import Settings
from core.starter import write_starter


def test_a_cron_line_that_cannot_be_read_is_told_with_its_line_beside_other_mistakes(
    tmp_path: Path,
) -> None:
    write_starter(tmp_path)
    schedule = tmp_path / "config" / "schedules" / "weekly-prune.yaml"
    lines = schedule.read_text().splitlines()
    at = next(place for place, line in enumerate(lines) if line.startswith("cron:"))
    lines[at] = "cron: 0 25 * * mon"
    schedule.write_text("\n".join(lines).replace("workflow: prune-worktree", "workflow: prune"))

    _, found = check(Settings(home=tmp_path))

    assert len(found) == 2
    assert ": workflow: there is no 'prune'; there is " in found[0]
    assert found[1].startswith(f"{schedule}:{at + 1}: cron: '0 25 * * mon' is not a cron line")


def test_a_trigger_on_what_takes_no_webhooks_is_told(tmp_path: Path) -> None:
    write_starter(tmp_path)
    config = tmp_path / "config"
    settings = "settings: {url: http://127.0.0.1:9090}\n"
    (config / "integrations" / "prometheus.yaml").write_text(f"kind: prometheus\n{settings}")
    trigger = config / "triggers" / "down.yaml"
    trigger.write_text("integration: prometheus\nevent: alert.firing\nchannel: '#incidents'\n")

    _, found = check(Settings(home=tmp_path))

    (problem,) = found
    assert problem.startswith(f"{trigger}:1: integration: prometheus takes no webhooks: give ")
