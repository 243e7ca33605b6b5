"""Secret values: from the environment first, then from `secrets.env`, never from YAML."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values
from pydantic import SecretStr

from core.errors import ConfigurationError

_MAX_BYTES = 256 * 1024
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Secrets:
    """Secret values by name.

    The file holds `NAME=value` lines (quotes and `#` comments as in a shell, nothing is
    expanded) and is read once, here. A file that is not there holds nothing.
    """

    def __init__(self, environment: Mapping[str, str], file: Path | None = None) -> None:
        """Read the file.

        Raises:
            ConfigurationError: others than its owner can read it, or it is not readable text.
        """
        self._file = file
        self._values = {} if file is None else _read(file)
        self._values.update({name: value for name, value in environment.items() if value})

    def get(self, name: str) -> SecretStr:
        """The value of that name.

        Raises:
            ConfigurationError: it is set nowhere; the message names the variable and the file.
        """
        if value := self._values.get(name):
            return SecretStr(value)
        place = f" or add the line `{name}=…` to {self._file}" if self._file else ""
        raise ConfigurationError(
            f"The secret {name} is not set: set the environment variable {name}{place}."
        )

    def __contains__(self, name: object) -> bool:
        """Whether `get` would find it."""
        return bool(isinstance(name, str) and self._values.get(name))

    def __repr__(self) -> str:
        return f"Secrets({len(self._values)} values)"


def _read(file: Path) -> dict[str, str]:
    try:
        with file.open("rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            if mode & _OTHERS:
                raise ConfigurationError(
                    f"{file}: others can read it (mode {stat.S_IMODE(mode):04o}); "
                    f"run `chmod 600 {file}`."
                )
            raw = opened.read(_MAX_BYTES + 1)
        if len(raw) > _MAX_BYTES:
            raise ConfigurationError(f"{file}: larger than {_MAX_BYTES} bytes.")
        text = raw.decode("utf-8")
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file}: not UTF-8 text; save it as UTF-8.") from error
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be read: {error.strerror}.") from error
    values = dotenv_values(stream=io.StringIO(text), interpolate=False)
    return {name: value for name, value in values.items() if value}
