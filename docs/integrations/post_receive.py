#!/usr/bin/env python3
"""A post-receive hook for a Git server of your own: tells Countersign of every push.

Needs Python 3.8 or newer and nothing else. Each push is signed as https://www.standardwebhooks.com
says. What cannot be delivered stays in the repository's folder `countersign-outbox` and is sent,
in order, with the next push.

    cp post_receive.py shop.git/hooks/post-receive && chmod +x shop.git/hooks/post-receive
    git -C shop.git config countersign.url https://countersign.example.org/webhooks/git
    git -C shop.git config countersign.secretFile /etc/countersign-hook/secret
    git -C shop.git config countersign.repository acme/shop
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from datetime import datetime, timezone
from pathlib import Path

TIMEOUT_S = 10
MOST_COMMITS = 20
REFUSED = {400, 413, 415}


def main() -> None:
    folder = Path(git("rev-parse", "--absolute-git-dir"))
    outbox = folder / "countersign-outbox"
    outbox.mkdir(mode=0o700, exist_ok=True)
    for position, line in enumerate(sys.stdin):
        before, after, ref = line.rstrip("\n").split(" ", 2)
        name = f"{time.time_ns():020d}-{position:06d}-{uuid.uuid4().hex}.json"
        written = outbox / f".{name}"
        written.write_text(json.dumps(pushed(before, after, ref)), encoding="utf-8")
        written.rename(outbox / name)
    with (outbox / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two pushes at once are told one after the other
        send_all(outbox)


def pushed(before: str, after: str, ref: str) -> dict[str, object]:
    """What happened to one ref."""
    deleted, created = set(after) == {"0"}, set(before) == {"0"}
    forced = not (deleted or created) and not is_ancestor(before, after)
    commits = []
    if not deleted and ref.startswith("refs/heads/"):
        new = (
            [after, "--not", "--exclude=" + ref[len("refs/heads/") :], "--branches"]
            if created
            else [f"{before}..{after}"]
        )
        log = git("log", f"--max-count={MOST_COMMITS}", "--format=%H%x00%an%x00%s", *new)
        for entry in filter(None, log.split("\n")):
            commit, author, title = entry.split("\0")
            commits.append({"id": commit, "author": author[:100], "title": title[:300]})
    return {
        "type": "push",
        "timestamp": datetime.now(timezone.utc).isoformat(),
        "data": {
            "repository": git("config", "countersign.repository"),
            "ref": ref,
            "before": before,
            "after": after,
            "actor": pusher(),
            "forced": forced,
            "commits": commits,
        },
    }


def pusher() -> str:
    """Who pushed, as Gitolite, GIT_COMMITTER_NAME or the system name them."""
    for variable in ("GL_USER", "GIT_PUSHER", "REMOTE_USER", "USER", "LOGNAME"):
        if os.environ.get(variable):
            return os.environ[variable][:100]
    return ""


def send_all(outbox: Path) -> None:
    url = git("config", "countersign.url")
    key = Path(git("config", "--path", "countersign.secretFile")).read_text().strip()
    secret = base64.b64decode(key.replace("whsec_", "", 1))
    for file in sorted(outbox.glob("[0-9]*.json")):
        try:
            send(url, secret, "msg_" + file.stem.rpartition("-")[2], file.read_bytes())
        except urllib.error.HTTPError as error:
            if error.code not in REFUSED:
                later(error)
                break
            print(f"countersign: refused for good ({error}): {file}.refused", file=sys.stderr)
            file.rename(file.with_suffix(".refused"))
            continue
        except OSError as error:
            later(error)
            break
        file.unlink()


def later(error: OSError) -> None:
    print(f"countersign: not told ({error}); it will be with the next push", file=sys.stderr)


def send(url: str, secret: bytes, message: str, body: bytes) -> None:
    now = str(int(time.time()))
    signed = f"{message}.{now}.".encode() + body
    signature = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message,
        "webhook-timestamp": now,
        "webhook-signature": f"v1,{signature}",
    }
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")
    urllib.request.urlopen(request, timeout=TIMEOUT_S).close()


def is_ancestor(before: str, after: str) -> bool:
    return subprocess.call(["git", "merge-base", "--is-ancestor", before, after]) == 0


def git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], check=True, stdout=subprocess.PIPE, encoding="utf-8", errors="replace"
    )
    return done.stdout.strip()


if __name__ == "__main__":
    main()
