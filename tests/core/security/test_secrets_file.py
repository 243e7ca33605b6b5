"""Secrets: the environment first, then a file that nobody else can read."""

from pathlib import Path

import pytest

from core.errors import ConfigurationError
from core.security.secrets import Secrets


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "secrets.env"
    path.write_text(
        "# comment\n\nTOKEN=from-file\nQUOTED='a b # c'\nexport OTHER=x=y\nREFERENCE=${TOKEN}\n"
    )
    path.chmod(0o600)
    return path


def test_the_environment_comes_first(file: Path) -> None:
    assert Secrets({"TOKEN": "from-environment"}, file).get("TOKEN").get_secret_value() == (
        "from-environment"
    )
    assert Secrets({}, file).get("TOKEN").get_secret_value() == "from-file"
    assert Secrets({"TOKEN": ""}, file).get("TOKEN").get_secret_value() == "from-file"


def test_the_file_is_read_as_a_shell_would_but_expands_nothing(file: Path) -> None:
    secrets = Secrets({}, file)
    values = {n: secrets.get(n).get_secret_value() for n in ("QUOTED", "OTHER", "REFERENCE")}
    assert values == {"QUOTED": "a b # c", "OTHER": "x=y", "REFERENCE": "${TOKEN}"}
    assert "TOKEN" in secrets
    assert "comment" not in secrets


def test_a_missing_secret_names_the_variable_and_the_file(file: Path) -> None:
    with pytest.raises(ConfigurationError, match=rf"environment variable GONE.*`GONE=…` to {file}"):
        Secrets({}, file).get("GONE")


def test_a_file_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="GONE"):
        Secrets({}, tmp_path / "secrets.env").get("GONE")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_a_file_that_others_can_read_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(ConfigurationError, match=rf"chmod 600 {file}"):
        Secrets({}, file)


def test_a_file_that_is_not_text(file: Path) -> None:
    file.write_bytes(b"TOKEN=\xff\xfe")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        Secrets({}, file)


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Secrets({}, tmp_path)


def test_values_are_not_shown(file: Path) -> None:
    secrets = Secrets({"TOKEN": "xoxb-1"}, file)
    assert "xoxb-1" not in repr(secrets) + repr(secrets.get("TOKEN")) + str(secrets.get("TOKEN"))
