"""A real Chromium, driven over the DevTools protocol with aiohttp.

Protocol: https://chromedevtools.github.io/devtools-protocol/ (Page, Runtime, Input, Emulation).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

_START_TIMEOUT_S = 30.0
_POLL_S = 0.02
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-port=0",
)

_FIND = """
function find(target) {
  const selector = target.replace(/^[A-Za-z_][\\w+-]*(?:\\.\\d+)?(?=\\s|$)/, (word) => {
    const named = `[data-testid="${word}"]`;
    const isTag = /^[a-z][a-z0-9]*$/.test(word) && document.querySelector(named) === null;
    return isTag ? word : named;
  });
  const all = [...document.querySelectorAll(selector)];
  return all.find((one) => one.getClientRects().length > 0) ?? null;
}
"""

_KEYS: Mapping[str, dict[str, Any]] = {
    "Enter": {"code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"},
    "Tab": {"code": "Tab", "windowsVirtualKeyCode": 9},
    "Escape": {"code": "Escape", "windowsVirtualKeyCode": 27},
    "Backspace": {"code": "Backspace", "windowsVirtualKeyCode": 8},
    "ArrowUp": {"code": "ArrowUp", "windowsVirtualKeyCode": 38},
    "ArrowDown": {"code": "ArrowDown", "windowsVirtualKeyCode": 40},
}


class BrowserMissingError(RuntimeError):
    """Chromium is not installed: install the Debian package `chromium`."""


class BrowserTimeoutError(AssertionError):
    """The page did not show in time what the test waited for."""


class Browser:
    """One Chromium with one tab.

    A *target* below is a CSS selector whose first word may be a `data-testid` (`composer`,
    `message-1712.000100 .mention`); the first visible match counts.

    Attributes:
        errors: uncaught exceptions and console errors of the page, in order.

    Args:
        width, height: of the window, in CSS pixels.
        timeout: seconds that `wait_for`, `click`, … give the page.
        dark: what `prefers-color-scheme` answers.

    Raises:
        BrowserMissingError: on entry, when no Chromium is installed.
    """

    def __init__(
        self, *, width: int = 1440, height: int = 900, timeout: float = 10.0, dark: bool = False
    ) -> None:
        self.errors: list[str] = []
        self._size = (width, height)
        self._timeout = timeout
        self._dark = dark
        self._next_id = 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._stack = contextlib.AsyncExitStack()
        self._socket: aiohttp.ClientWebSocketResponse | None = None

    async def __aenter__(self) -> Self:
        program = shutil.which("chromium") or shutil.which("chromium-browser")
        if program is None:
            raise BrowserMissingError(
                "no Chromium on this machine: install the Debian package `chromium` "
                "(apt-get install chromium)"
            )
        async with contextlib.AsyncExitStack() as stack:
            profile = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True)
            )
            process = await asyncio.create_subprocess_exec(
                program,
                *_FLAGS,
                f"--user-data-dir={profile}",
                "about:blank",
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
            stack.push_async_callback(_end, process)
            port = await self._port(Path(profile), process)
            http = await stack.enter_async_context(aiohttp.ClientSession())
            async with http.get(f"http://127.0.0.1:{port}/json/list") as response:
                tabs = await response.json()
            url = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
            self._socket = await stack.enter_async_context(
                http.ws_connect(url, max_msg_size=0, timeout=aiohttp.ClientWSTimeout(ws_close=1))
            )
            reader = asyncio.create_task(self._read(self._socket))
            stack.callback(reader.cancel)
            for domain in ("Page", "Runtime", "Log"):
                await self.call(f"{domain}.enable")
            await self.call("Emulation.setFocusEmulationEnabled", enabled=True)
            await self.set_viewport(*self._size)
            await self.set_dark(self._dark)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def _port(self, profile: Path, process: asyncio.subprocess.Process) -> str:
        deadline = time.monotonic() + _START_TIMEOUT_S
        port_file = profile / "DevToolsActivePort"
        while time.monotonic() < deadline:
            if process.returncode is not None:
                raise RuntimeError(f"Chromium ended at once, with status {process.returncode}")
            lines = port_file.read_text().splitlines() if port_file.exists() else []
            if len(lines) >= 2:
                return lines[0]
            await asyncio.sleep(_POLL_S)
        raise BrowserTimeoutError(f"Chromium did not start within {_START_TIMEOUT_S:.0f} s")

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for frame in socket:
            message = json.loads(frame.data)
            answer = self._answers.pop(message.get("id", -1), None)
            if answer is not None and not answer.done():
                answer.set_result(message)
            elif message.get("method") == "Runtime.exceptionThrown":
                details = message["params"]["exceptionDetails"]
                thrown = details.get("exception", {}).get("description", "")
                self.errors.append(f"{details['text']} {thrown}".strip())
            elif message.get("method") == "Log.entryAdded":
                entry = message["params"]["entry"]
                if entry["level"] == "error":
                    self.errors.append(f"{entry['text']} {entry.get('url', '')}".strip())

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Sends one DevTools command and returns its `result`.

        Raises:
            RuntimeError: Chromium refused the command.
        """
        if self._socket is None:
            raise RuntimeError("use Browser as a context manager: async with Browser() as browser")
        self._next_id += 1
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[self._next_id] = answer
        await self._socket.send_json({"id": self._next_id, "method": method, "params": params})
        message = await asyncio.wait_for(answer, self._timeout)
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error'].get('message')}")
        result: dict[str, Any] = message["result"]
        return result

    async def evaluate(self, expression: str) -> Any:
        """The JSON value of a JavaScript expression (a promise is awaited).

        Raises:
            RuntimeError: the expression threw.
        """
        result = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in result:
            thrown = result["exceptionDetails"].get("exception", {})
            raise RuntimeError(f"{expression[:200]}: {thrown.get('description')}")
        return result["result"].get("value")

    async def open(self, url: str) -> None:
        """Loads a page and waits until its `load` event has fired."""
        await self.call("Page.navigate", url=url)
        await self._until("document.readyState === 'complete'", f"{url} to load")

    async def set_viewport(self, width: int, height: int, *, mobile: bool = False) -> None:
        """Sets the size of the page, in CSS pixels."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=mobile,
        )

    async def set_dark(self, dark: bool) -> None:
        """Sets what `prefers-color-scheme` answers."""
        value = "dark" if dark else "light"
        await self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": value}],
        )

    async def wait_for(
        self, target: str, text: str | None = None, *, timeout: float | None = None
    ) -> None:
        """Waits until a target is visible and, if given, contains `text`.

        Raises:
            BrowserTimeoutError: it did not happen in time; says what the target shows instead.
        """
        wanted = "one !== null" if text is None else f"one?.innerText.includes({json.dumps(text)})"
        what = f"{target!r}" if text is None else f"{target!r} with the text {text!r}"
        condition = (
            f"(() => {{ {_FIND} const one = find({json.dumps(target)}); return {wanted}; }})()"
        )
        await self._until(condition, what, target, timeout)

    async def wait_gone(self, target: str, *, timeout: float | None = None) -> None:
        """Waits until a target is no longer visible."""
        condition = f"(() => {{ {_FIND} return find({json.dumps(target)}) === null; }})()"
        await self._until(condition, f"{target!r} to go", target, timeout)

    async def _until(
        self, condition: str, what: str, target: str = "body", timeout: float | None = None
    ) -> None:
        limit = self._timeout if timeout is None else timeout
        deadline = time.monotonic() + limit
        while not await self.evaluate(condition):
            if time.monotonic() > deadline:
                raise BrowserTimeoutError(
                    f"waited {limit:.0f} s for {what}; {await self._shown(target)}"
                )
            await asyncio.sleep(_POLL_S)

    async def _shown(self, target: str) -> str:
        shown = await self.text(target) or await self.text("body") or ""
        errors = f"\nand these errors came: {self.errors}" if self.errors else ""
        return f"the page shows:\n{shown[-1500:]}{errors}"

    async def text(self, target: str) -> str | None:
        """The visible text of a target, None when it is not there."""
        found = await self.evaluate(
            f"(() => {{ {_FIND} return find({json.dumps(target)})?.innerText ?? null; }})()"
        )
        return None if found is None else str(found)

    async def click(self, target: str) -> None:
        """Waits for a target and presses the left mouse button on its middle.

        Raises:
            BrowserTimeoutError: it did not appear, or something else covers it.
        """
        x, y = await self._reach(target)
        for kind, buttons in (("mouseMoved", 0), ("mousePressed", 1), ("mouseReleased", 0)):
            await self.call(
                "Input.dispatchMouseEvent",
                type=kind,
                x=x,
                y=y,
                button="none" if kind == "mouseMoved" else "left",
                buttons=buttons,
                clickCount=0 if kind == "mouseMoved" else 1,
            )

    async def hover(self, target: str) -> None:
        """Moves the mouse over a target."""
        x, y = await self._reach(target)
        await self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    async def _reach(self, target: str) -> tuple[float, float]:
        script = f"""(() => {{ {_FIND}
          const one = find({json.dumps(target)});
          if (!one) return null;
          one.scrollIntoView({{ block: "nearest", inline: "nearest", behavior: "instant" }});
          const box = one.getBoundingClientRect();
          const x = box.left + box.width / 2, y = box.top + box.height / 2;
          // What appears only while the mouse is over its parent cannot be hit before.
          const through = getComputedStyle(one).pointerEvents === "none";
          const hit = document.elementFromPoint(x, y);
          return through || one.contains(hit) || hit?.contains(one) ? [x, y] : null;
        }})()"""
        deadline = time.monotonic() + self._timeout
        before: Any = None
        while True:
            place = await self.evaluate(script)
            if place is not None and place == before:  # it does not move any more
                return float(place[0]), float(place[1])
            before = place
            if time.monotonic() > deadline:
                raise BrowserTimeoutError(
                    f"{target!r} cannot be reached within {self._timeout:.0f} s; "
                    f"{await self._shown('body')}"
                )
            await asyncio.sleep(_POLL_S)

    async def type(self, text: str) -> None:
        """Types into whatever has the focus."""
        await self.call("Input.insertText", text=text)

    async def press(self, key: str, *, shift: bool = False) -> None:
        """Presses a key: `Enter`, `Tab`, `Escape`, `Backspace`, `ArrowUp` or `ArrowDown`."""
        details: dict[str, Any] = {"key": key, "modifiers": 8 if shift else 0, **_KEYS[key]}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **details)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **{**details, "text": ""})

    async def fill(self, target: str, text: str) -> None:
        """Puts `text` into an input in place of what is there."""
        await self.click(target)
        await self.evaluate("document.activeElement.select()")
        await self.type(text)

    async def screenshot(self, path: Path) -> None:
        """Writes what the window shows as a PNG file."""
        result = await self.call("Page.captureScreenshot", format="png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(result["data"]))


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 5)
        except TimeoutError:
            process.kill()
            await process.wait()
