"""What the console script makes of errors."""

from __future__ import annotations

import pytest

from bot import cli
from core.errors import ConfigurationError, NotFoundError


def fail_with(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def app() -> None:
        raise error

    monkeypatch.setattr(cli, "app", app)


@pytest.mark.parametrize(
    "error",
    [
        ConfigurationError("Mend it."),
        ExceptionGroup("tasks", [ConfigurationError("Mend it.")]),
        ExceptionGroup("tasks", [ExceptionGroup("inner", [ConfigurationError("Mend it.")])]),
        ExceptionGroup("tasks", [ConfigurationError("Mend it."), NotFoundError("Mend it.")]),
    ],
)
def test_an_error_of_ours_is_its_message_and_exit_code_1(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(monkeypatch, error)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == "Mend it.\n"


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError(),
        ExceptionGroup("tasks", [ZeroDivisionError()]),
        ExceptionGroup("tasks", [ConfigurationError("Mend it."), ZeroDivisionError()]),
    ],
)
def test_another_error_is_not_hidden(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, error)
    with pytest.raises(type(error)):
        cli.main()
