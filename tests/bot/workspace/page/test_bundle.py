"""The committed bundle is what the source builds."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

WORKSPACE = Path(__file__).parents[4] / "bot" / "workspace"


@pytest.mark.slow
def test_the_committed_bundle_is_what_the_source_builds(tmp_path: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is missing (Debian package npm); only building the page needs it")
    source = tmp_path / "page"
    shutil.copytree(WORKSPACE / "page", source, ignore=shutil.ignore_patterns("node_modules"))
    for command in (["ci", "--no-audit", "--no-fund"], ["run", "check"], ["run", "build"]):
        done = subprocess.run(
            [npm, *command], cwd=source, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, f"npm {' '.join(command)}:\n{done.stdout}\n{done.stderr}"
    built, committed = tmp_path / "static", WORKSPACE / "static"
    assert sorted(path.name for path in built.iterdir()) == sorted(
        path.name for path in committed.iterdir()
    )
    for path in sorted(built.iterdir()):
        assert path.read_bytes() == (committed / path.name).read_bytes(), (
            f"{path.name} differs: run `npm ci && npm run build` in bot/workspace/page"
        )


def test_the_page_names_no_other_server() -> None:
    """No font, script, style or picture of the page comes from elsewhere."""
    static = WORKSPACE / "static"
    assert "http" not in (static / "index.html").read_text()
    assert "url(http" not in (static / "app.css").read_text().replace('"', "").replace("'", "")
