"""Configuration files: what is wrong is named with file, line, field and the mend."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from core.automation import AITrigger
from core.configuration import read_file, read_folder
from core.errors import ConfigurationError
from core.security.policy import Policy
from core.state import AIModel, AIWorkflow, ApplicationState

GOOD = """\
name: Write a note
objective: A file holds a text.
parameters:
  text:
    description: what to write
    default: yes
  times: {type: integer, description: how often, default: 2}
steps:
  - id: write
    name: Write it
    action: file.write
    with: {name: a.txt, text: "${parameters.text}", deep: [1, {b: null}]}
    time_limit: 90s
guardrails:
  - type: freeze
    windows:
      - {name: weekend, from: Fri 16:00, to: Mon 08:00}
"""


def read(folder: Path, text: str | bytes, name: str = "note.yaml") -> AIWorkflow:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_file(path, AIWorkflow, {"id": path.stem})


def problem(folder: Path, text: str | bytes, name: str = "note.yaml") -> list[str]:
    """The lines of the error, with the file's folder left out."""
    with pytest.raises(ConfigurationError) as caught:
        read(folder, text, name)
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def test_a_file_becomes_a_record_whose_id_is_the_files_name(tmp_path: Path) -> None:
    note = read(tmp_path, GOOD)
    assert note.id == "note"
    assert note.parameters["text"].default == "yes", "a word of YAML 1.2, no boolean"
    assert note.steps[0].arguments["deep"] == [1, {"b": None}]
    assert note.guardrails[0].type == "freeze"
    assert read(tmp_path, "\ufeff" + GOOD) == note, "also with the mark that some editors write"


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("name: Write a note\n", "", ["note.yaml:1: name: add this field."]),
        (
            "objective:",
            "objectve:",
            [
                "note.yaml:1: objective: add this field.",
                "note.yaml:2: objectve: remove it, or mend its spelling.",
            ],
        ),
        (
            "name: Write a note",
            "name: [a, list]",
            ["note.yaml:1: name: Input should be a valid string."],
        ),
        (
            "    description: what to write\n",
            "",
            ["note.yaml:4: parameters.text.description: add this field."],
        ),
        (
            "type: integer",
            "type: date",
            [
                (
                    "note.yaml:7: parameters.times.type: "
                    "Input should be 'string', 'integer', 'number', 'boolean' or 'list'."
                )
            ],
        ),
        (
            "default: 2",
            "default: many",
            ["note.yaml:7: parameters.times: default must be a integer, for example 3."],
        ),
        (
            "action: file.write",
            "action: write",
            [
                (
                    "note.yaml:11: steps.0.action: "
                    r"String should match pattern '^[a-z_]+(\.[a-z][a-z0-9-]*)?\.[a-z0-9_]+$'."
                )
            ],
        ),
        (
            "Fri 16:00",
            "Friday",
            [
                (
                    "note.yaml:17: guardrails.0.freeze.windows.0.from: String should match pattern "
                    r"'^(\d{4}-\d{2}-\d{2}|[A-Z][a-z]{2}) \d{2}:\d{2}$'."
                )
            ],
        ),
        (
            "type: freeze",
            "type: frost",
            [
                (
                    "note.yaml:15: guardrails.0: Input tag 'frost' found using 'type' does not "
                    "match any of the expected tags: 'approval', 'blast_radius', 'dataset_gate', "
                    "'environment', 'evaluation_gate', 'freeze', 'lock', 'precondition', "
                    "'preview', 'rate'."
                )
            ],
        ),
        (
            "    time_limit: 90s",
            "    time_limit: 90s\n    timeout: 1",
            ["note.yaml:14: steps.0.timeout: remove it, or mend its spelling."],
        ),
        (
            "name: Write",
            "id: x\nname: Write",
            ["note.yaml:1: id: remove it; the file's name is the id."],
        ),
    ],
)
def test_what_does_not_fit_is_named_by_line_and_field_with_the_mend(
    tmp_path: Path, old: str, new: str, lines: list[str]
) -> None:
    assert old in GOOD
    assert problem(tmp_path, GOOD.replace(old, new, 1)) == lines


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "note.yaml:1: must hold `field: value` lines."),
        ("just words", "note.yaml:1: must hold `field: value` lines."),
        ("- a\n- b\n", "note.yaml:1: must hold `field: value` lines."),
        ("name: a\n\tobjective: b\n", r"note.yaml:2: not YAML: found character '\t' that"),
        ("name: a\nname: b\n", 'note.yaml:2: not YAML: found duplicate key "name"'),
        ("name: a\n---\nname: b\n", "note.yaml:2: not YAML"),
        ("name: [a\nobjective: b\n", "note.yaml:2: not YAML"),
        ('a: b\nname: "a\x01"\n', "note.yaml:2: not YAML: special characters"),
        ("name: &a x\nobjective: *a\n", "note.yaml:1: write the value out; no anchors"),
        ("name: " + "[" * 100_000, "note.yaml:1: nested deeper than 40 levels"),
        ("\n".join(" " * n + "a:" for n in range(99)), "note.yaml:41: nested deeper"),
        (b"name: caf\xe9\n", "note.yaml: not UTF-8 text; save it as UTF-8."),
        (b"name: " + b"a" * 300_000, "note.yaml: larger than 262144 bytes; split the file."),
        ("name: " + "9" * 5000 + "\n", "note.yaml: not YAML: Exceeds the limit"),
    ],
)
def test_what_is_no_plain_yaml_is_refused(tmp_path: Path, text: str | bytes, says: str) -> None:
    assert problem(tmp_path, text)[0].startswith(says)


def test_an_alias_bomb_costs_nothing(tmp_path: Path) -> None:
    bomb = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    bomb += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    started = time.monotonic()
    assert "no aliases" in problem(tmp_path, "\n".join(bomb))[0]
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.mkdir [{folder}/pwned]",
        "!!python/object/new:os.mkdir {{args: [{folder}/pwned]}}",
        "!!python/name:os.system x",
        "!!binary aGVsbG8=",
        "!secret token",
    ],
)
@pytest.mark.parametrize("place", ["name: {}\n", "steps:\n  - {}\n", "--- {}\n"])
def test_a_tag_is_never_constructed(tmp_path: Path, value: str, place: str) -> None:
    (line,) = problem(tmp_path, place.format(value.format(folder=tmp_path)))
    assert re.match(r"note\.yaml:\d: write the value without a tag \(", line)
    assert not (tmp_path / "pwned").exists()


def test_a_file_that_is_not_there_or_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"policy\.yaml: there is no such file.*init"):
        read_file(tmp_path / "policy.yaml", Policy)
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(ConfigurationError, match=r"folder\.yaml: cannot be read: Is a directory"):
        read_folder(tmp_path, AIModel)


def test_a_folder_is_read_by_names_and_may_be_missing(tmp_path: Path) -> None:
    assert read_folder(tmp_path / "none", AIWorkflow) == {}
    read(tmp_path, GOOD, "b-note.yaml")
    read(tmp_path, GOOD, "a-note.yaml")
    (tmp_path / "notes.txt").write_text("not read")
    assert list(read_folder(tmp_path, AIWorkflow)) == ["a-note", "b-note"]


def test_a_file_whose_name_is_no_id_is_to_be_renamed(tmp_path: Path) -> None:
    assert problem(tmp_path, GOOD, "My Note.yaml") == [
        "My Note.yaml: rename the file: lower-case words joined by hyphens, .yaml."
    ]
    (tmp_path / "My Note.yaml").rename(tmp_path / "note.yml")
    with pytest.raises(ConfigurationError, match=r"note\.yml: rename it to note\.yaml"):
        read_folder(tmp_path, AIWorkflow)


def test_a_folder_without_a_policy_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="run `countersign init`"):
        ApplicationState.load(tmp_path)


@pytest.mark.parametrize("channel", ["deploys", "#deploys", "'#De ploys'"])
def test_a_channel_that_is_none_is_told_with_the_quotes_that_it_needs(
    tmp_path: Path, channel: str
) -> None:
    file = tmp_path / "ci.yaml"
    file.write_text(f"integration: github\nevent: ci.failed\nchannel: {channel}\n")
    told = r'ci\.yaml:3: channel: write a channel in quotes, such as "#deploys"'
    with pytest.raises(ConfigurationError, match=told):
        read_file(file, AITrigger, {"id": "ci"})
