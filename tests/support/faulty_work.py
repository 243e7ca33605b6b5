"""Workflows whose every effect can be counted, for tests that kill what carries them out.

Programs leave their effects in files of the home. They are children of the replica that runs them,
in sessions of their own: a replica that is killed leaves them to come to their end alone.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

HOSTS = ("web-1", "web-2", "web-3")

_WORKFLOW = """\
name: Faults
objective: Have effects of every kind, in every kind of step.
parameters:
  tag: {{description: tells the runs apart, pattern: "t[0-9]{{1,5}}"}}
  hosts: {{type: list, description: where to deploy, pattern: "[a-z0-9-]{{1,10}}"}}
  fail: {{type: boolean, description: whether it fails at the end, default: false}}
  by_hand: {{type: boolean, description: whether a person does something, default: false}}
steps:
  - id: set
    name: Set
    action: command.run
    with: {{program: set, arguments: ["${{parameters.tag}}"]}}
    undo:
      action: command.run
      with: {{program: once, arguments: ["${{parameters.tag}}", unset]}}
  - id: at-once
    name: At once
    parallel:
      - id: pay
        name: Pay
        action: command.run
        with: {{program: pay, arguments: ["${{parameters.tag}}"]}}
      - id: order
        name: Order
        action: command.run
        with: {{program: once, arguments: ["${{parameters.tag}}", order]}}
      - id: settle
        name: Settle
        steps:
          - {{id: rest, name: Rest, wait: 1s}}
          - id: settled
            name: Settled
            action: command.run
            with: {{program: once, arguments: ["${{parameters.tag}}", settled]}}
  - id: sign-off
    name: Sign off
    when: parameters.by_hand
    manual: Look at it.
  - id: rollout
    name: Roll out
    for_each: "${{parameters.hosts}}"
    batch: 2
    pause: 1s
    steps:
      - id: deploy
        name: Deploy
        action: command.run
        with: {{program: once, arguments: ["${{parameters.tag}}", "on-${{each}}"]}}
        undo:
          action: command.run
          with: {{program: once, arguments: ["${{parameters.tag}}", "off-${{each}}"]}}
  - id: flaky
    name: Flaky
    action: command.run
    with: {{program: flaky, arguments: ["${{parameters.tag}}"]}}
    retry: {{attempts: 20, backoff: 1s, factor: 1}}
  - id: mark
    name: Mark
    action: git.tag
    with: {{repository: shop, tag: "${{parameters.tag}}", commit: "{commit}"}}
  - id: broken
    name: Broken
    when: parameters.fail
    action: command.run
    with: {{program: broken}}
  - id: tell
    name: Tell
    action: slack.post
    with: {{channel: "#general", text: "told ${{parameters.tag}}"}}
on_failure:
  - id: regret
    name: Regret
    action: command.run
    with: {{program: once, arguments: ["${{parameters.tag}}", regret]}}
guardrails:
  - {{type: approval, roles: [approver], expires_after: {expires_after}}}
"""

# What each program does, with its idempotency. `pay` is slow on both sides of its effect, so that
# some kills land before and some after it. `once` stands for a system that takes idempotency keys.
_PROGRAMS = {
    "set": ("natural", ["t[0-9]+"], 'echo "$1" > {home}/set/$1'),
    "pay": ("none", ["t[0-9]+"], 'sleep 0.6; echo "$1 paid" >> {home}/effects; sleep 0.6'),
    "once": (
        "keyed",
        ["t[0-9]+", "[a-z0-9-]+"],
        (
            'mkdir -p {home}/keys/"${{COUNTERSIGN_KEY%%/*}}"\n'
            'mkdir {home}/keys/"$COUNTERSIGN_KEY" 2>/dev/null || exit 0\n'
            'echo "$1 $2" >> {home}/effects'
        ),
    ),
    "flaky": (
        "natural",
        ["t[0-9]+"],
        "echo once >> {home}/flaky/$1\n[ $(wc -l < {home}/flaky/$1) -ge 3 ]",
    ),
    "broken": ("natural", [], "exit 1"),
}


class FaultyWork:
    """The workflows `faults` and `faults-soon` (whose approval expires soon), in a home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        for folder in ("set", "keys", "flaky", "programs"):
            (home / folder).mkdir()
        self._effects = home / "effects"
        self._effects.touch()
        workflows = home / "config" / "workflows"
        for name, expires_after in (("faults", "4h"), ("faults-soon", "4s")):
            text = _WORKFLOW.format(
                expires_after=expires_after, commit=self._git("rev-parse", "HEAD")
            )
            (workflows / f"{name}.yaml").write_text(text)
        commands = home / "config" / "integrations" / "commands.yaml"
        commands.write_text(commands.read_text() + "".join(self._programs()))

    def effects(self, tag: str) -> list[str]:
        """What the programs did for one run, in the order in which they did it."""
        lines = self._effects.read_text().splitlines()
        return [line.split()[1] for line in lines if line.split()[0] == tag]

    def touched(self, tag: str) -> bool:
        """Whether anything was done for a run."""
        marks = (self.home / "set" / tag, self.home / "flaky" / tag)
        files = any(mark.exists() for mark in marks)
        return files or bool(self.effects(tag)) or self.marked(tag)

    def attempts(self, tag: str) -> int:
        """How often the flaky step was begun."""
        return len((self.home / "flaky" / tag).read_text().splitlines())

    def marked(self, tag: str) -> bool:
        """Whether the run's Git tag is there."""
        return self._git("tag", "--list", tag) == tag

    def _git(self, *arguments: str) -> str:
        command = ("git", "-C", str(self.home / "repositories" / "shop"), *arguments)
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def _programs(self) -> Iterator[str]:
        for name, (idempotency, arguments, script) in _PROGRAMS.items():
            path = self.home / "programs" / name
            path.write_text("#!/bin/sh\n" + script.format(home=self.home) + "\n")
            path.chmod(0o755)
            patterns = ", ".join(f'"{pattern}"' for pattern in arguments)
            yield (
                f"    {name}:\n"
                f'      path: "{path}"\n'
                f"      arguments: [{patterns}]\n"
                "      risk: change\n"
                f"      idempotency: {idempotency}\n"
            )
