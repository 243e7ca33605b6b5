"""GitHub's own signatures of webhooks, which Gitea, Forgejo and Bitbucket make alike."""

import json
import subprocess

from tests.support.npm import installed, node

VERSION = "6.0.0"
_PROGRAM = """
const { sign } = await import(process.argv[1]);
const { secret, body } = JSON.parse(process.argv[2]);
process.stdout.write(await sign(secret, body));
"""


def octokit_signature(secret: str, body: str) -> str:
    """`sha256=…` as npm's `@octokit/webhooks-methods` makes it."""
    folder = installed("@octokit/webhooks-methods", VERSION)
    done = subprocess.run(
        [
            node(),
            "--input-type=module",
            "--eval",
            _PROGRAM,
            (folder / "dist-node" / "index.js").as_uri(),
            json.dumps({"secret": secret, "body": body}),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout
