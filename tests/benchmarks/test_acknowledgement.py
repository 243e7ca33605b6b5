"""The benchmark of acknowledgements in small: all are acknowledged, and the figures are there."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tests.benchmarks.acknowledgement import Result
from tests.support.models import models_dir

__all__ = ["models_dir"]

COMMANDS = 40


@pytest.mark.slow
async def test_every_command_is_acknowledged_while_the_model_generates(
    models_dir: Path, tmp_path: Path
) -> None:
    file = tmp_path / "figures.json"
    options = ("--commands", str(COMMANDS), "--json", str(file))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.benchmarks.acknowledgement", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    output, errors = await asyncio.wait_for(process.communicate(), 400)
    assert process.returncode == 0, errors.decode()
    assert "Countersign / bare Bolt" in output.decode()

    result = Result.model_validate_json(file.read_text())
    for transport in ("socket", "http"):
        for model in ("at rest", "full load"):
            for bot in ("bare Bolt", "Countersign"):
                cell = result.cell(transport, model, bot)
                assert (cell.sent, cell.acknowledged) == (COMMANDS, COMMANDS)
                assert 0 < cell.p50_ms <= cell.p99_ms <= cell.max_ms
                assert cell.longest_stall_ms > 0
        generating = result.cell(transport, "full load", "Countersign")
        assert generating.tokens > 0
        assert generating.least_running > 0
