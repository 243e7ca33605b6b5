"""git.revert, git.tag and git.log on real repositories."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigurationError, InvalidRequestError
from core.records import Idempotency, Risk
from core.security.secrets import Secrets
from core.state import AIIntegration
from core.workflows.actions import Action, ActionError, ActionRegistry
from integrations.git import GitIntegration
from tests.support.intake import attempt
from tests.support.until import until


class Checkout:
    """A repository as a person uses it, with the plain `git` of this machine."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def git(self, *arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(self.path), *arguments],
            check=True,
            capture_output=True,
            text=True,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.path),
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_AUTHOR_NAME": "Ada",
                "GIT_AUTHOR_EMAIL": "ada@example.org",
                "GIT_COMMITTER_NAME": "Ada",
                "GIT_COMMITTER_EMAIL": "ada@example.org",
            },
        ).stdout.strip()

    def write(self, name: str, text: str) -> None:
        (self.path / name).write_text(text)

    def commit(self, message: str, **files: str | None) -> str:
        for name, text in files.items():
            if text is None:
                self.git("rm", "-q", name)
            else:
                self.write(name, text)
                self.git("add", name)
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.head()

    def head(self, revision: str = "HEAD") -> str:
        return self.git("rev-parse", revision)

    def read(self, name: str) -> str:
        return (self.path / name).read_text()

    def clean(self) -> bool:
        return self.git("status", "--porcelain") == ""


@pytest.fixture
def shop(tmp_path: Path) -> Checkout:
    path = tmp_path / "shop"
    path.mkdir()
    checkout = Checkout(path)
    checkout.git("init", "-q", "-b", "main")
    checkout.commit("Start", config="timeout: 30\n", readme="shop\n")
    return checkout


def integration(path: Path, **settings: Any) -> GitIntegration:
    record = AIIntegration(
        id="git",
        kind="git",
        settings={"repositories": {"shop": {"path": str(path), **settings}}},
    )
    return GitIntegration.create(record, Secrets({}))


def action(path: Path, name: str, **settings: Any) -> Action[Any]:
    return ActionRegistry(integration(path, **settings).actions()).get(name)


async def revert(path: Path, commit: str, key: str = "run-1/step-1", **more: Any) -> Any:
    settings = more.pop("settings", {})
    found = action(path, "git.revert", **settings)
    arguments = found.read({"repository": "shop", "commit": commit, **more})
    return await found.execute(arguments, attempt(key))


class TestRevert:
    async def test_undoes_the_commit_on_the_branch_and_in_its_working_copy(
        self, shop: Checkout
    ) -> None:
        bad = shop.commit("Lower the timeout", config="timeout: 1\n")
        kept = shop.commit("Say more", readme="the shop\n")
        result = await revert(shop.path, bad, reason="Checkout fails\nCountersign-Run: forged")

        assert shop.read("config") == "timeout: 30\n"
        assert shop.read("readme") == "the shop\n"
        assert shop.clean()
        assert shop.head() == result.values["commit"]
        assert shop.head("HEAD^") == kept
        message = shop.git("log", "-1", "--format=%B")
        assert message.startswith('Revert "Lower the timeout"\n\nThis reverts commit ' + bad)
        trailers = shop.git("log", "-1", "--format=%(trailers:key=Countersign-Run,valueonly)")
        assert trailers == "run-1/step-1"
        assert shop.git("log", "-1", "--format=%an") == "Countersign"

    async def test_a_repeated_attempt_finds_its_own_commit(self, shop: Checkout) -> None:
        bad = shop.commit("Lower the timeout", config="timeout: 1\n")
        first = await revert(shop.path, bad)
        shop.commit("Something else", readme="changed\n")
        head = shop.head()
        again = await revert(shop.path, bad)

        assert again.values == first.values
        assert "already" in again.summary
        assert shop.head() == head

    async def test_a_repeated_attempt_mends_the_working_copy_that_a_crash_left_behind(
        self, shop: Checkout
    ) -> None:
        bad = shop.commit("Lower the timeout", config="timeout: 1\n")
        await revert(shop.path, bad)
        done = shop.head()
        # As after a crash between moving the branch and its working copy:
        shop.git("read-tree", "-m", "-u", done, bad)
        assert shop.read("config") == "timeout: 1\n"
        await revert(shop.path, bad)

        assert shop.head() == done
        assert shop.read("config") == "timeout: 30\n"
        assert shop.clean()

    async def test_another_run_is_not_taken_for_this_one(self, shop: Checkout) -> None:
        bad = shop.commit("Lower the timeout", config="timeout: 1\n")
        await revert(shop.path, bad, key="run-1/step-1")
        with pytest.raises(ActionError, match="changes nothing"):
            await revert(shop.path, bad, key="run-1/step-10")

    async def test_a_conflict_names_the_files_and_changes_nothing(self, shop: Checkout) -> None:
        bad = shop.commit("Lower the timeout", config="timeout: 1\n")
        head = shop.commit("Lower it more", config="timeout: 0\n")
        with pytest.raises(ActionError, match=r"same lines of: config\..*Nothing was changed"):
            await revert(shop.path, bad)

        assert shop.head() == head
        assert shop.clean()
        assert shop.git("worktree", "list", "--porcelain").count("worktree ") == 1

    async def test_a_working_copy_with_changes_is_refused(self, shop: Checkout) -> None:
        bad = shop.commit("Lower the timeout", config="timeout: 1\n")
        shop.write("readme", "my unsaved thoughts\n")
        with pytest.raises(ActionError, match="commit or stash"):
            await revert(shop.path, bad)

        assert shop.head() == bad
        assert shop.read("readme") == "my unsaved thoughts\n"

    async def test_a_file_in_the_way_that_git_does_not_know_is_refused(
        self, shop: Checkout
    ) -> None:
        bad = shop.commit("Remove the readme", readme=None)
        shop.write("readme", "mine\n")
        with pytest.raises(ActionError, match="in the way"):
            await revert(shop.path, bad)

        assert shop.head() == bad
        assert shop.read("readme") == "mine\n"

    async def test_other_files_that_git_does_not_know_are_no_obstacle(self, shop: Checkout) -> None:
        bad = shop.commit("Lower the timeout", config="timeout: 1\n")
        shop.write("notes", "mine\n")
        await revert(shop.path, bad)
        assert shop.read("config") == "timeout: 30\n"
        assert shop.read("notes") == "mine\n"

    async def test_a_branch_that_is_not_checked_out(self, shop: Checkout) -> None:
        bad = shop.commit("Lower the timeout", config="timeout: 1\n")
        shop.git("checkout", "-q", "-b", "feature")
        shop.write("readme", "work in progress\n")
        result = await revert(shop.path, bad)

        assert shop.head("main") == result.values["commit"]
        assert shop.head() == bad
        assert shop.read("readme") == "work in progress\n"
        assert shop.git("show", "main:config") == "timeout: 30"

    async def test_a_bare_repository(self, shop: Checkout, tmp_path: Path) -> None:
        bad = shop.commit("Lower the timeout", config="timeout: 1\n")
        bare = Checkout(tmp_path / "bare.git")
        shop.git("clone", "-q", "--bare", str(shop.path), str(bare.path))
        await revert(bare.path, bad)
        assert bare.git("show", "main:config") == "timeout: 30"

    async def test_a_merge_needs_its_mainline(self, shop: Checkout) -> None:
        shop.git("checkout", "-q", "-b", "feature")
        shop.commit("Add a feature", feature="on\n")
        shop.git("checkout", "-q", "main")
        shop.git("merge", "-q", "--no-ff", "-m", "Merge the feature", "feature")
        merge = shop.head()
        with pytest.raises(ActionError, match="give 'mainline'"):
            await revert(shop.path, merge)
        with pytest.raises(ActionError, match="has 2 parents"):
            await revert(shop.path, merge, mainline=3)
        await revert(shop.path, merge, mainline=1)
        assert not (shop.path / "feature").exists()

    async def test_a_commit_that_is_not_on_the_branch(self, shop: Checkout) -> None:
        shop.git("checkout", "-q", "-b", "feature")
        stray = shop.commit("Elsewhere", feature="on\n")
        with pytest.raises(ActionError, match="is not on main of shop"):
            await revert(shop.path, stray)
        with pytest.raises(ActionError, match="has no commit 0123456789"):
            await revert(shop.path, "0123456789")

    async def test_reverts_at_the_same_time_are_all_done(self, shop: Checkout) -> None:
        names = [f"file{number}" for number in range(5)]
        commits = [shop.commit(f"Add {name}", **{name: "x\n"}) for name in names]
        found = action(shop.path, "git.revert")
        await asyncio.gather(
            *(
                found.execute(
                    found.read({"repository": "shop", "commit": commit}), attempt(f"run/{commit}")
                )
                for commit in commits
            )
        )
        assert not [name for name in names if (shop.path / name).exists()]
        assert shop.clean()

    async def test_other_processes_that_move_the_branch_at_the_same_time(
        self, shop: Checkout
    ) -> None:
        """Separate integrations share no lock, as two processes do not: git's own
        compare-and-swap decides, and who comes second tries again."""
        shop.git("checkout", "-q", "-b", "elsewhere")
        shop.git("checkout", "-q", "main")
        commits = [shop.commit(f"Add {n}", **{f"file{n}": "x\n"}) for n in range(3)]
        shop.git("checkout", "-q", "elsewhere")
        await asyncio.gather(*(revert(shop.path, c, key=f"run/{c}") for c in commits))
        assert shop.git("ls-tree", "--name-only", "main").split() == ["config", "readme"]

    async def test_hooks_of_the_repository_are_not_run(self, shop: Checkout) -> None:
        bad = shop.commit("Lower the timeout", config="timeout: 1\n")
        for name in ("pre-commit", "post-checkout", "commit-msg", "reference-transaction"):
            hook = shop.path / ".git" / "hooks" / name
            hook.parent.mkdir(exist_ok=True)
            hook.write_text(f"#!/bin/sh\ntouch {shop.path}/hooked\nexit 1\n")
            hook.chmod(0o755)
        await revert(shop.path, bad)
        assert not (shop.path / "hooked").exists()

    async def test_the_preview_shows_the_patch_and_changes_nothing(self, shop: Checkout) -> None:
        bad = shop.commit("Lower the timeout", config="timeout: 1\n")
        found = action(shop.path, "git.revert")
        preview = await found.preview(found.read({"repository": "shop", "commit": bad}))

        assert preview is not None
        assert "config | 2 +-" in preview
        assert "+timeout: 30" in preview
        assert shop.head() == bad
        assert shop.clean()
        assert shop.git("worktree", "list", "--porcelain").count("worktree ") == 1

    async def test_the_preview_of_a_conflict_fails(self, shop: Checkout) -> None:
        bad = shop.commit("Lower the timeout", config="timeout: 1\n")
        shop.commit("Lower it more", config="timeout: 0\n")
        found = action(shop.path, "git.revert")
        with pytest.raises(ActionError, match="config"):
            await found.preview(found.read({"repository": "shop", "commit": bad}))

    async def test_a_large_preview_is_cut(self, shop: Checkout) -> None:
        bad = shop.commit("Much", big="\n".join(str(n) for n in range(100_000)))
        found = action(shop.path, "git.revert")
        preview = await found.preview(found.read({"repository": "shop", "commit": bad}))
        assert preview is not None
        assert len(preview) <= 6000

    def test_says_what_it_will_do(self, shop: Checkout) -> None:
        found = action(shop.path, "git.revert", remote="origin")
        arguments = found.read({"repository": "shop", "commit": "0123456789abcdef"})
        assert found.describe(arguments) == (
            "Revert commit 0123456789ab on main of shop and push it to origin"
        )
        assert found.risk_of(arguments) is Risk.CHANGE
        assert found.idempotency_of(arguments) is Idempotency.KEYED

    @pytest.mark.parametrize("commit", ["--help", "HEAD", "main", "abc", "", "x" * 40])
    def test_only_names_of_commits_are_taken(self, shop: Checkout, commit: str) -> None:
        with pytest.raises(InvalidRequestError, match="commit"):
            action(shop.path, "git.revert").read({"repository": "shop", "commit": commit})

    async def test_a_repository_that_is_not_configured(self, shop: Checkout) -> None:
        found = action(shop.path, "git.revert")
        arguments = found.read({"repository": "../etc", "commit": "0123456789"})
        with pytest.raises(InvalidRequestError, match="known: shop"):
            await found.execute(arguments, attempt())


class TestRemote:
    """With a remote the remote has the last word."""

    @pytest.fixture
    def bad(self, shop: Checkout) -> str:
        return shop.commit("Lower the timeout", config="timeout: 1\n")

    @pytest.fixture
    def origin(self, shop: Checkout, bad: str, tmp_path: Path) -> Checkout:
        path = tmp_path / "origin.git"
        shop.git("clone", "-q", "--bare", str(shop.path), str(path))
        shop.git("remote", "add", "origin", str(path))
        return Checkout(path)

    async def test_pushes_and_moves_the_local_branch(
        self, shop: Checkout, origin: Checkout, bad: str
    ) -> None:
        result = await revert(shop.path, bad, settings={"remote": "origin"})
        assert origin.head("main") == shop.head() == result.values["commit"]
        assert shop.read("config") == "timeout: 30\n"

    async def test_builds_on_what_others_have_pushed(
        self, shop: Checkout, origin: Checkout, bad: str, tmp_path: Path
    ) -> None:
        other = Checkout(tmp_path / "other")
        shop.git("clone", "-q", str(origin.path), str(other.path))
        theirs = other.commit("Theirs", readme="theirs\n")
        other.git("push", "-q", "origin", "main")
        await revert(shop.path, bad, settings={"remote": "origin"})

        assert origin.head("main^") == theirs
        assert shop.read("readme") == "theirs\n"
        assert shop.clean()

    async def test_a_local_branch_that_has_gone_its_own_way_is_refused(
        self, shop: Checkout, origin: Checkout, bad: str
    ) -> None:
        before = origin.head("main")
        shop.commit("Not pushed", readme="mine\n")
        with pytest.raises(ActionError, match="push or drop them"):
            await revert(shop.path, bad, settings={"remote": "origin"})
        assert origin.head("main") == before

    async def test_a_remote_that_refuses_leaves_everything_as_it_was(
        self, shop: Checkout, origin: Checkout, bad: str
    ) -> None:
        hook = origin.path / "hooks" / "pre-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text("#!/bin/sh\necho no pushes on Fridays\nexit 1\n")
        hook.chmod(0o755)
        with pytest.raises(ActionError, match="no pushes on Fridays"):
            await revert(shop.path, bad, settings={"remote": "origin"})
        assert origin.head("main") == shop.head() == bad

    async def test_a_repeated_attempt_takes_over_what_was_pushed_before_a_crash(
        self, shop: Checkout, origin: Checkout, bad: str
    ) -> None:
        await revert(shop.path, bad, settings={"remote": "origin"})
        done = origin.head("main")
        shop.git("reset", "-q", "--hard", bad)  # as if the local branch had not moved yet
        again = await revert(shop.path, bad, settings={"remote": "origin"})

        assert again.values["commit"] == done == origin.head("main") == shop.head()
        assert shop.read("config") == "timeout: 30\n"

    async def test_a_remote_that_is_away(self, shop: Checkout, origin: Checkout, bad: str) -> None:
        origin.path.rename(origin.path.with_name("gone"))
        with pytest.raises(ActionError, match="does not appear to be a git repository"):
            await revert(shop.path, bad, settings={"remote": "origin"})
        assert shop.head() == bad


class TestTag:
    async def tag(self, path: Path, tag: str, commit: str, **settings: Any) -> Any:
        found = action(path, "git.tag", **settings)
        arguments = found.read({"repository": "shop", "tag": tag, "commit": commit})
        return await found.execute(arguments, attempt())

    async def test_sets_an_annotated_tag_once(self, shop: Checkout) -> None:
        commit = shop.head()
        await self.tag(shop.path, "v1.0", commit)
        tagged = shop.head("v1.0")
        again = await self.tag(shop.path, "v1.0", commit)

        assert shop.git("cat-file", "-t", "v1.0") == "tag"
        assert shop.head("v1.0^{commit}") == commit
        assert shop.head("v1.0") == tagged
        assert again.values == {"tag": "v1.0", "commit": commit}

    async def test_never_moves_a_tag(self, shop: Checkout) -> None:
        first = shop.head()
        await self.tag(shop.path, "v1.0", first)
        second = shop.commit("More", readme="more\n")
        with pytest.raises(ActionError, match="tags are not moved"):
            await self.tag(shop.path, "v1.0", second)
        assert shop.head("v1.0^{commit}") == first

    async def test_pushes_it(self, shop: Checkout, tmp_path: Path) -> None:
        origin = Checkout(tmp_path / "origin.git")
        shop.git("clone", "-q", "--bare", str(shop.path), str(origin.path))
        shop.git("remote", "add", "origin", str(origin.path))
        for _ in range(2):
            await self.tag(shop.path, "v1.0", shop.head(), remote="origin")
        assert origin.head("v1.0^{commit}") == shop.head()

    @pytest.mark.parametrize(
        "name", ["-d", "--force", "a b", "a..b", "a~1", "a.lock", "/a", "a/", "@{", "a\0b", "a\nb"]
    )
    async def test_names_that_git_does_not_take(self, shop: Checkout, name: str) -> None:
        with pytest.raises(ActionError, match="not a name for a tag"):
            await self.tag(shop.path, name, shop.head())
        assert shop.git("tag") == ""

    async def test_the_preview_shows_the_commit(self, shop: Checkout) -> None:
        found = action(shop.path, "git.tag")
        arguments = found.read({"repository": "shop", "tag": "v1", "commit": shop.head()})
        assert "Ada: Start" in str(await found.preview(arguments))
        assert shop.git("tag") == ""


class TestLog:
    async def test_lists_the_latest_commits(self, shop: Checkout) -> None:
        shop.commit("Lower the timeout", config="timeout: 1\n")
        shop.commit("Say more", readme="the shop\n")
        found = action(shop.path, "git.log")
        result = await found.execute(found.read({"repository": "shop", "count": 2}), attempt())
        touched = await found.execute(
            found.read({"repository": "shop", "path": "config"}), attempt()
        )

        assert found.risk is Risk.READ
        assert [c["subject"] for c in result.values["commits"]] == ["Say more", "Lower the timeout"]
        assert result.values["head"] == shop.head()
        assert [c["subject"] for c in touched.values["commits"]] == ["Lower the timeout", "Start"]

    async def test_a_path_is_no_option_and_no_pattern(self, shop: Checkout) -> None:
        found = action(shop.path, "git.log")
        for path in ("--output=/tmp/x", ":(exclude)readme", "*"):
            result = await found.execute(
                found.read({"repository": "shop", "path": path}), attempt()
            )
            assert result.values["commits"] == []


def mentioned(path: str) -> bool:
    """Whether a running process has this path among its arguments."""
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = process.read_bytes()
        except OSError:
            continue
        if path.encode() in line:
            return True
    return False


_REVERT = """
import asyncio, sys
from core.records import Place
from core.security.secrets import Secrets
from core.state import AIIntegration
from core.workflows.actions import ActionContext
from integrations.git import GitIntegration

path, commit, key = sys.argv[1:]
settings = {"repositories": {"shop": {"path": path}}}
git = GitIntegration.create(AIIntegration(id="git", kind="git", settings=settings), Secrets({}))
revert = git.actions()[0]
arguments = revert.read({"repository": "shop", "commit": commit})
place = Place(channel="C1")
context = ActionContext("run-1", "step-1", key, False, "U1", place)
print("ready", flush=True)
asyncio.run(revert.execute(arguments, context))
"""


async def test_killed_at_any_moment_and_repeated_it_is_done_once(shop: Checkout) -> None:
    before = [shop.commit(f"Change {n}", **{f"file{n}": f"{n}\n"}) for n in range(12)]
    cut_off = 0
    for number, commit in enumerate(before):
        key = f"run-{number}/step-1"
        with subprocess.Popen(
            [sys.executable, "-c", _REVERT, str(shop.path), commit, key], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            await asyncio.sleep(number * 0.012)
            cut_off += process.poll() is None
            process.kill()
        # The git that it had started is not killed with it, and ends long before a restart.
        await until(lambda: not mentioned(str(shop.path)), "its git has ended")
        await revert(shop.path, commit, key=key)

        subjects = shop.git("log", "--format=%s").splitlines()
        assert subjects.count(f'Revert "Change {number}"') == 1
        assert not (shop.path / f"file{number}").exists()
        assert shop.clean()
    assert cut_off > 3


async def test_what_a_killed_process_left_is_removed_at_the_start(
    shop: Checkout, tmp_path: Path
) -> None:
    killed = subprocess.Popen(["true"])
    killed.wait()
    left = tmp_path / f"countersign-git-{killed.pid}-x1" / "worktree"
    used = tmp_path / f"countersign-git-{os.getppid()}-x2" / "worktree"
    own = tmp_path / "feature"
    for path in (left, used, own):
        shop.git("worktree", "add", "-q", "--detach", str(path))
    await integration(shop.path).start()
    await integration(tmp_path / "gone").start()

    assert not left.parent.exists()
    assert used.exists()
    assert own.exists()
    assert shop.git("worktree", "list", "--porcelain").count("worktree ") == 3


async def test_health_names_what_is_missing(shop: Checkout, tmp_path: Path) -> None:
    assert (await integration(shop.path).health()).ready
    no_branch = await integration(shop.path, branch="trunk").health()
    assert (no_branch.ready, no_branch.detail) == (
        False,
        "The repository shop has no branch trunk.",
    )
    no_folder = await integration(tmp_path / "gone").health()
    assert "There is no folder" in no_folder.detail
    no_repository = await integration(tmp_path).health()
    assert not no_repository.ready


@pytest.mark.parametrize(
    "settings", [{"branch": "--force"}, {"remote": "ext::sh"}, {"author": {"name": "a <b>"}}]
)
def test_a_wrong_configuration(shop: Checkout, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"git\.yaml: settings\.repositories\.shop"):
        integration(shop.path, **settings)
