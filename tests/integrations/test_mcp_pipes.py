"""A program as an MCP server: what it may send, and that it never outlives a call."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from pathlib import Path

import pytest

from core.workflows.actions import ActionError
from integrations.mcp.bounded import MAX_BYTES
from integrations.mcp.session import McpServer, Program
from tests.support.until import until

ROOT = Path(__file__).parents[2]
ENDLESS = """
import sys
from pathlib import Path
sent = Path(sys.argv[1])
sys.stdout.write('{"jsonrpc": "2.0", "id": 0, "result": "')
for n in range(4096):
    sys.stdout.write("x" * (1 << 20))
    sys.stdout.flush()
    with sent.open("ab") as file:
        file.write(b"M")
"""
NOISY = """
import sys
print("Starting up; listening on nothing.")
print("{", flush=True)
sys.stdout.buffer.write(b"\\xff\\xfe\\n")
sys.stdout.flush()
from tests.support import mcp_server
from pathlib import Path
mcp_server.make(Path("unused")).run("stdio")
"""
FORKING = """
import os, subprocess, sys
child = subprocess.Popen(["/bin/sleep", "600"])
with open(sys.argv[1], "w") as file:
    file.write(f"{os.getpid()} {child.pid}")
sys.stdin.read()
if sys.argv[2] == "stays":
    child.wait()
"""


def server(script: str, *arguments: object, timeout_s: float = 60.0) -> McpServer:
    """A program that is this script."""
    command = (sys.executable, "-c", script, *(str(one) for one in arguments))
    return McpServer(
        "the server", Program(command=command, directory=ROOT, environment={}), timeout_s
    )


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # One that has ended and that nobody has waited for yet counts as gone.
    return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()


async def test_a_line_without_end_is_given_up_and_does_not_fill_the_memory(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ActionError, match=f"a line of more than {MAX_BYTES} bytes"):
        await server(ENDLESS, tmp_path / "sent").offered()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert (after - before) * 1024 < 8 * MAX_BYTES
    megabytes = (tmp_path / "sent").stat().st_size
    assert megabytes < 4096  # which it would have sent


async def test_lines_that_are_no_messages_are_passed_over() -> None:
    assert "forecast" in await server(NOISY).offered()


@pytest.mark.parametrize("when_told_to_end", ["stays", "goes"])
async def test_a_program_and_what_it_has_started_are_ended(
    tmp_path: Path, when_told_to_end: str
) -> None:
    file = tmp_path / "processes"
    asking = asyncio.create_task(server(FORKING, file, when_told_to_end).offered())
    await until(lambda: file.exists() and len(file.read_text().split()) == 2, "it runs", 60)
    processes = [int(one) for one in file.read_text().split()]
    assert all(alive(one) for one in processes)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await until(lambda: not any(alive(one) for one in processes), "they have ended", 60)


async def test_one_that_is_cancelled_while_it_is_ended_is_ended(tmp_path: Path) -> None:
    file = tmp_path / "processes"
    asking = asyncio.create_task(server(FORKING, file, "stays").offered())
    await until(lambda: file.exists() and len(file.read_text().split()) == 2, "it runs", 60)
    processes = [int(one) for one in file.read_text().split()]
    for _ in range(3):
        asking.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await asking
    await until(lambda: not any(alive(one) for one in processes), "they have ended", 60)


async def test_what_cannot_be_started_says_so() -> None:
    program = Program(command=("/nonexistent/server",), directory=ROOT, environment={})
    with pytest.raises(ActionError, match="No such file"):
        await McpServer("the server", program, 5.0).offered()
