"""deploy/staging.sh without an engine: a program called docker notes what it is asked and fails where a test wants it to.

What this shows is the order of the steps, what follows a failure and what is left behind. That Docker does what it is asked, it cannot.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.compose import REPOSITORY

DIGEST = "sha256:" + "a" * 64
# Notes each call; fails, hangs or answers as the files beside it say.
FAKE = f"""#!{sys.executable}
import json, os, pathlib, sys, time
here = pathlib.Path(os.environ["FAKE"])
call = " ".join(sys.argv[1:])
with (here / "calls").open("a") as calls:
    calls.write(json.dumps([os.environ.get("COMANDA_RELEASE", ""), pathlib.Path(sys.argv[0]).name, call]) + "\\n")
if "imagetools" in call:
    print("{DIGEST}")
if "x25519" in call:
    print("AGE-SECRET-KEY-1FAKE")
if (here / "hang").exists() and (here / "hang").read_text() in call:
    time.sleep(60)
for line in (here / "fail").read_text().splitlines() if (here / "fail").exists() else ():
    release, _, part = line.partition(" ")
    if part in call and release in ("*", os.environ.get("COMANDA_RELEASE", "")):
        print("as the test wants", file=sys.stderr)
        sys.exit(1)
"""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A checkout with everything that a deploy needs, and programs in place of docker and curl."""

    folder: Path
    fake: Path

    def environment(self) -> dict[str, str]:
        return {"PATH": f"{self.fake}:{os.environ['PATH']}", "FAKE": str(self.fake), "NEEDED_GIB": "0", "HOME": str(self.folder)}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        (self.fake / "calls").unlink(missing_ok=True)
        command = ("bash", str(self.folder / "deploy" / "staging.sh"), *arguments)
        return subprocess.run(command, env=self.environment(), capture_output=True, text=True, check=False, timeout=120)

    def calls(self) -> list[tuple[str, str]]:
        """(release, what was asked), without the words that are in each."""
        path = self.fake / "calls"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        files = "compose --env-file deploy/staging.env --env-file deploy/images.env --file docker-compose.staging.yml "
        return [(release, (call if name == "docker" else f"{name} {call}").replace(files, "")) for release, name, call in lines]

    def steps(self) -> list[str]:
        """Without the looking about."""
        looks = ("compose version", "info", "config --quiet")
        return [short(call) for _, call in self.calls() if call not in looks]

    def fails(self, *lines: str) -> None:
        """Each: a release or *, and a part of the call."""
        (self.fake / "fail").write_text("\n".join(lines))

    def log(self) -> list[dict[str, object]]:
        path = self.folder / "deploy" / "state" / "deploys.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def current(self) -> str:
        path = self.folder / "deploy" / "state" / "current"
        return path.read_text().strip() if path.exists() else ""


def short(call: str) -> str:
    for mark, name in {
        "build --file": "build",
        "backup --all": "backup",
        "archive_base": "base",
        "up --detach --wait --no-recreate": "data up",
        "migrate_fleet": "migrate",
        "cp -Rn": "statics",
        "open_smoke_cafeteria": "smoke cafeteria",
        "run --rm --no-deps smoke": "smoke",
        "record_deploy": "record",
        "caddy reload": "reload",
        "/health": "health",
        "prometheus grafana proxy": "the rest",
    }.items():
        if mark in call:
            return name
    return call.removeprefix("up --detach --no-deps ").removeprefix("--wait --wait-timeout 120 ")


WORKERS = "worker-short watchdog-short worker-long watchdog-long archive"
ROLL = ["web-a", "web-b", WORKERS, "the rest", "reload"]
LOOK = ["health", "smoke cafeteria", "smoke"]
FIRST = ["build"] * 3 + ["data up", "migrate", "statics", *ROLL, *LOOK, "record"]
NEXT = ["build"] * 3 + ["backup", "base", "data up", "migrate", "statics", *ROLL, *LOOK, "record"]


@pytest.fixture
def server(tmp_path: Path) -> Server:
    folder, fake = tmp_path / "comanda", tmp_path / "fake"
    fake.mkdir()
    (folder / "deploy").mkdir(parents=True)
    for name in ("staging.sh", "images.tags", "staging.env.example"):
        shutil.copy(REPOSITORY / "deploy" / name, folder / "deploy")
    shutil.copy(REPOSITORY / "docker-compose.staging.yml", folder)
    for program in ("docker", "curl"):
        (fake / program).write_text(FAKE)
        (fake / program).chmod(0o755)
    example = (folder / "deploy" / "staging.env.example").read_text()
    (folder / "deploy" / "staging.env").write_text(example.replace("ACME_EMAIL=", "ACME_EMAIL=ops@comanda.example"))
    server = Server(folder=folder, fake=fake)
    assert server.run("pin").returncode == 0
    made = server.run("secrets", "--release", "r0")
    assert made.returncode == 0, made.stderr
    for name in ("client_secret", "webhook_secret", "access_token"):
        (folder / "deploy" / "secrets" / f"mercadopago_{name}").write_text("theirs")
    return server


def test_shellcheck_finds_nothing() -> None:
    scripts = [str(path) for path in sorted((REPOSITORY / "deploy").rglob("*.sh"))]
    done = subprocess.run([Path(sys.executable).parent / "shellcheck", *scripts], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")
    assert len(scripts) >= 2


def test_the_first_deploy_and_the_next(server: Server) -> None:
    first = server.run("--release", "r1")
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines()[-1] == "r1 serves."
    assert server.steps() == FIRST
    assert server.run("--release", "r2").returncode == 0
    assert server.steps() == NEXT
    asked = dict(zip([short(call) for _, call in server.calls()], server.calls(), strict=True))
    assert asked["backup"][0] == "r1"  # by the code that runs
    assert asked["migrate"] == ("r2", "run --rm migrate python manage.py migrate_fleet --canary smoke")
    assert server.current == "r2"
    assert [(line["release"], line["before"], line["outcome"]) for line in server.log()] == [
        ("r1", "", "deployed"),
        ("r2", "r1", "deployed"),
    ]
    assert "record_deploy --release r2 --before r1 --outcome deployed" in asked["record"][1]


def test_it_can_be_run_twice(server: Server) -> None:
    server.run("--release", "r1")
    again = server.run("--release", "r1")
    assert again.returncode == 0
    assert "r1 runs already: everything is looked at again." in again.stdout
    assert server.current == "r1"


def test_a_dry_run_tells_everything_and_touches_nothing(server: Server) -> None:
    server.run("--release", "r1")
    told = server.run("--release", "r2", "--dry-run")
    assert told.returncode == 0, told.stderr
    assert server.steps() == []
    would = [short(line.removeprefix("would run: ").removeprefix("compose ").removeprefix("docker ")) for line in told.stdout.splitlines()]
    assert [line for line in would if line in NEXT] == NEXT[:-1]
    assert (server.current, len(server.log())) == ("r1", 1)


@pytest.mark.parametrize(
    ("fails", "steps", "said"),
    [
        ("build --file", ["build"], "r2 cannot be built. Nothing was changed."),
        ("backup --all", [*NEXT[:3], "backup"], "the backup failed"),
        ("archive_base", [*NEXT[:3], "backup", "base"], "the backup failed"),
        ("migrate_fleet", [*NEXT[:7], "record"], "the migration failed: r1 goes on serving."),
    ],
    ids=["build", "backup", "base", "migrate"],
)
def test_what_fails_before_the_roll_leaves_the_old_code_alone(server: Server, fails: str, steps: list[str], said: str) -> None:
    server.run("--release", "r1")
    server.fails(f"* {fails}")
    failed = server.run("--release", "r2")
    assert failed.returncode == 1
    assert said in failed.stderr
    assert server.steps() == steps
    assert server.current == "r1"


@pytest.mark.parametrize(
    ("fails", "until"),
    [
        ("wait-timeout 120 web-a", 1),
        ("wait-timeout 120 web-b", 2),
        (WORKERS, 3),
        ("caddy reload", 5),
        ("/health", 6),
        ("--no-deps smoke", 8),
    ],
    ids=["web-a", "web-b", "workers", "proxy", "health", "smoke"],
)
def test_what_fails_in_the_roll_is_taken_back_by_itself(server: Server, fails: str, until: int) -> None:
    server.run("--release", "r1")
    server.fails(f"r2 {fails}", "r2 curl" if fails == "/health" else "none none")
    if fails == "/health":
        server.fails("* /health")  # curl knows no release: it is not asked again after the roll back
    failed = server.run("--release", "r2")
    assert failed.returncode == 1
    assert server.steps() == [*NEXT[:8], *[*ROLL, *LOOK][:until], *ROLL, "record"]
    rolled = [release for release, call in server.calls() if "up --detach --no-deps" in call]
    assert rolled[-4:] == ["r1"] * 4
    assert "was taken back; r1 serves" in failed.stderr
    assert server.current == "r1"
    assert server.log()[-1]["outcome"] == "rolled_back"


def test_a_roll_back_that_fails_as_well_is_said(server: Server) -> None:
    server.run("--release", "r1")
    server.fails("* wait-timeout 120 web-b")
    failed = server.run("--release", "r2")
    assert failed.returncode == 1
    assert "and r1 does not come up either" in failed.stderr
    assert server.log()[-1]["outcome"] == "failed"


def test_back_by_hand(server: Server) -> None:
    server.run("--release", "r1")
    assert "no release before is known" in server.run("rollback").stderr
    server.run("--release", "r2")
    back = server.run("rollback")
    assert back.returncode == 0, back.stderr
    assert server.steps() == [*ROLL, *LOOK, "record"]
    assert server.current == "r1"


def test_killed_halfway_it_is_run_again(server: Server) -> None:
    server.run("--release", "r1")
    (server.fake / "hang").write_text("wait-timeout 120 web-b")
    command = ("bash", str(server.folder / "deploy" / "staging.sh"), "--release", "r2")
    (server.fake / "calls").unlink()
    with subprocess.Popen(command, env=server.environment(), stdout=subprocess.DEVNULL, start_new_session=True) as process:
        deadline = time.monotonic() + 60
        while "web-b" not in server.steps():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert (
            "another deploy is at work"
            in subprocess.run(command, env=server.environment(), capture_output=True, text=True, check=False).stderr
        )
        os.killpg(process.pid, 9)
    (server.fake / "hang").unlink()
    assert server.current == "r1"
    assert server.run("--release", "r2").returncode == 0
    assert server.current == "r2"
    assert server.log()[-1]["before"] == "r1"


def test_the_secrets_are_made_once_and_not_for_others(server: Server) -> None:
    folder = server.folder / "deploy" / "secrets"
    assert oct(folder.stat().st_mode)[-3:] == "700"
    before = {path.name: path.read_text() for path in folder.iterdir()}
    password = before["database_password"]
    assert before["pgbouncer_users"].strip() == f'"comanda" "{password.strip()}"'
    assert len(before["secret_key"]) >= 50
    before = {name: secret.strip() for name, secret in before.items()}
    identities = json.loads(before["s3_identities"])["identities"]
    assert identities[0]["credentials"] == [{"accessKey": before["s3_access_key"], "secretKey": before["s3_secret_key"]}]
    again = server.run("secrets")
    assert again.returncode == 0
    assert {path.name: path.read_text().strip() for path in folder.iterdir()} == before
    assert all(secret not in again.stdout + again.stderr for secret in before.values() if len(secret) > 10)


def test_the_vault_key_is_one_that_the_product_takes(server: Server) -> None:
    from core.vault import check_keys  # noqa: PLC0415

    key = (server.folder / "deploy" / "secrets" / "vault_keys").read_text()
    assert check_keys([key]) == [key]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("rm deploy/staging.env", "there is no deploy/staging.env. Copy deploy/staging.env.example"),
        ("sed -i s/^ACME_EMAIL=.*/ACME_EMAIL=/ deploy/staging.env", "ACME_EMAIL is empty"),
        ("sed -i s/^BASE_DOMAIN=.*/BASE_DOMAIN=other.example/ deploy/staging.env", "PUBLIC_URL has to be https:// and BASE_DOMAIN"),
        ("sed -i /^SMOKE_SECONDS/d deploy/staging.env", "SMOKE_SECONDS is not in deploy/staging.env"),
        ("sed -i s/^PLATFORM_TLS=.*/PLATFORM_TLS=files/ deploy/staging.env", "there is no deploy/certs/platform.crt"),
        ("rm deploy/images.env", "there is no deploy/images.env. Run deploy/staging.sh pin"),
        ("sed -i s/@sha256.*// deploy/images.env", "has no digest"),
        ("rm deploy/secrets/vault_keys", "the secret deploy/secrets/vault_keys is missing"),
        ("chmod 755 deploy/secrets", "is open to others"),
    ],
    ids=lambda value: value.split()[-1] if value.startswith(("rm", "sed", "chmod")) else "",
)
def test_what_is_missing_is_said_before_anything_is_touched(server: Server, damage: str, said: str) -> None:
    subprocess.run(damage.split(), cwd=server.folder, check=True)
    failed = server.run("--release", "r1")
    assert failed.returncode == 1
    assert said in failed.stderr
    assert server.steps() == []


def test_an_engine_that_does_not_answer_is_said(server: Server) -> None:
    server.fails("* info")
    assert "The Docker engine does not answer".lower() in server.run("check").stderr.lower()
