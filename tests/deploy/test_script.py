"""deploy/staging.sh without an engine: a program called docker notes what it is asked and answers as docker would (fake_docker.py).

What this shows is the order of the steps, what follows a failure and what is left behind. That Docker does what it is asked, it cannot.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from ast import literal_eval
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.compose import REPOSITORY, raw


@dataclass(frozen=True, kw_only=True)
class Server:
    """A checkout with everything that a deploy needs, and programs in place of docker and curl."""

    folder: Path
    fake: Path

    def environment(self) -> dict[str, str]:
        return {"PATH": f"{self.fake}:{os.environ['PATH']}", "FAKE": str(self.fake), "NEEDED_GIB": "0", "STEADY_SECONDS": "0"}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        (self.fake / "calls").unlink(missing_ok=True)
        command = ("bash", str(self.folder / "deploy" / "staging.sh"), *arguments)
        run: subprocess.CompletedProcess[str] = subprocess.run(
            command, env=self.environment(), capture_output=True, text=True, check=False, timeout=120, start_new_session=True
        )
        return run

    def calls(self) -> list[tuple[str, str]]:
        """(release, what was asked), without the words that are in each."""
        path = self.fake / "calls"
        lines = [literal_eval(line) for line in path.read_text().splitlines()] if path.exists() else []
        files = "compose --env-file deploy/staging.env --env-file deploy/images.env --file docker-compose.staging.yml "
        return [(release, (call if name == "docker" else f"{name} {call}").replace(files, "")) for release, name, call in lines]

    def steps(self) -> list[str]:
        """Without the looking about."""
        looks = ("compose version", "info", "config --quiet", "image inspect", "image ls", "image rm", "ps --all --quiet", "inspect")
        return [short(call) for _, call in self.calls() if not call.startswith(looks)]

    def fails(self, *lines: str) -> None:
        """Each: a release or *, and a part of the call."""
        (self.fake / "fail").write_text("\n".join(lines))

    def log(self) -> list[dict[str, object]]:
        path = self.folder / "deploy" / "state" / "deploys.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def noted(self, name: str) -> str:
        path = self.folder / "deploy" / "state" / name
        return path.read_text().strip() if path.exists() else ""

    @property
    def current(self) -> str:
        return self.noted("current")

    def engine(self) -> dict[str, Any]:
        found: dict[str, Any] = literal_eval((self.fake / "engine").read_text())
        return found

    def kept(self) -> dict[Path, str]:
        """What a deploy goes by: the script's notes, and what the engine has."""
        return {path: path.read_text() for path in (*(self.folder / "deploy" / "state").iterdir(), self.fake / "engine")}

    def put_back(self, kept: dict[Path, str]) -> None:
        for path in self.kept():
            path.unlink()
        for path, text in kept.items():
            path.write_text(text)

    def serving(self) -> set[str]:
        """Releases of the product that run."""
        return {image.partition(":")[2] for image, _ in self.engine()["running"].values() if image.startswith("comanda:")}


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
        "pgbouncer cache s3 proxy": "the rest",
        "prometheus alertmanager grafana": "watching",
        "kill --signal HUP prometheus": "rules",
        "restart alertmanager grafana": "restart",
    }.items():
        if mark in call:
            return name
    return call.removeprefix("up --detach --no-deps ").removeprefix("--wait --wait-timeout 120 ")


WORKERS = "worker-short worker-long archive"
ROLL = ["web-a", "web-b", WORKERS, "the rest", "reload"]
LOOK = ["health", "smoke cafeteria", "smoke"]
WATCH = ["watching", "rules", "restart"]
MIGRATE = ["data up", "migrate", "statics"]
PREPARE = ["build", "build", "backup", "base", *MIGRATE]  # the pooler's image is there already
END = ["record", *WATCH]
FIRST = ["build"] * 2 + [*MIGRATE, *ROLL, *LOOK, *END]
NEXT = [*PREPARE, *ROLL, *LOOK, *END]


def services() -> dict[str, Any]:
    found: dict[str, Any] = raw()["services"]
    return found


@pytest.fixture
def server(prepared: Path, tmp_path: Path) -> Server:
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    return Server(folder=tmp_path / "comanda", fake=tmp_path / "fake")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    whole = tmp_path_factory.mktemp("prepared")
    folder, fake = whole / "comanda", whole / "fake"
    fake.mkdir()
    (folder / "deploy").mkdir(parents=True)
    for name in ("staging.sh", "images.tags", "staging.env.example", "Dockerfile"):
        shutil.copy(REPOSITORY / "deploy" / name, folder / "deploy")
    for name in ("alertmanager", "caddy", "grafana", "pgbouncer", "postgres", "prometheus"):
        shutil.copytree(REPOSITORY / "deploy" / name, folder / "deploy" / name)
    shutil.copy(REPOSITORY / "docker-compose.staging.yml", folder)
    shutil.copy(REPOSITORY / "tests" / "deploy" / "fake_docker.py", fake)
    for program in ("docker", "curl"):
        (fake / program).write_text(f"#!{sys.executable} -SEs\nimport fake_docker\nfake_docker.main()\n")
        (fake / program).chmod(0o755)
    images = {name: service["image"] for name, service in services().items()}
    (fake / "services").write_text(repr(images))
    example = (folder / "deploy" / "staging.env.example").read_text()
    (folder / "deploy" / "staging.env").write_text(example.replace("ACME_EMAIL=", "ACME_EMAIL=ops@comanda.example"))
    server = Server(folder=folder, fake=fake)
    assert server.run("pin").returncode == 0
    made = server.run("secrets", "--release", "r0")
    assert made.returncode == 0, made.stderr
    for name in ("client_secret", "webhook_secret", "access_token"):
        (folder / "deploy" / "secrets" / f"mercadopago_{name}").write_text("theirs")
    return whole


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
    assert asked["migrate"] == ("r2", "run --rm --no-deps migrate python manage.py migrate_fleet --canary smoke")
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
    assert [line for line in would if line in NEXT] == [step for step in NEXT if step != "record"]
    assert (server.current, len(server.log())) == ("r1", 1)


@pytest.mark.parametrize(
    ("fails", "steps", "said"),
    [
        ("build --file", ["build"], "r2 cannot be built. Nothing was changed."),
        ("backup --all", [*NEXT[:2], "backup"], "the backup failed"),
        ("archive_base", [*NEXT[:2], "backup", "base"], "the backup failed"),
        ("migrate_fleet", [*NEXT[:6], "record"], "the migration failed: r1 goes on serving."),
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
    assert server.steps() == [*PREPARE, *[*ROLL, *LOOK][:until], *ROLL, "record"]
    rolled = [release for release, call in server.calls() if "up --detach --no-deps" in call]
    assert rolled[-4:] == ["r1"] * 4
    assert "was taken back; r1 serves" in failed.stderr
    assert (server.current, server.serving(), server.noted("next")) == ("r1", {"r1"}, "")
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


def test_back_by_hand_goes_no_further_than_the_schema_lets_it(server: Server) -> None:
    """Code knows the schema of the release after it, and no later one."""
    for release in ("r1", "r2"):
        server.run("--release", release)
    server.fails("r3 --no-deps smoke")
    assert server.run("--release", "r3").returncode == 1
    server.fails()
    refused = server.run("rollback")
    assert refused.returncode == 1
    assert "the schema is that of r3, and r1 is two releases behind it" in refused.stderr
    assert (server.steps(), server.current) == ([], "r2")


def test_a_release_that_serves_already_and_is_ill_is_not_said_to_be_taken_back(server: Server) -> None:
    server.run("--release", "r1")
    server.fails("* --no-deps smoke")
    failed = server.run("--release", "r1")
    assert failed.returncode == 1
    assert "r1 serves already and failed at the smoke tests: there is nothing to take back" in failed.stderr
    assert server.steps()[-1] == "record"
    assert server.log()[-1]["outcome"] == "failed"


def test_a_worker_that_does_not_stay_up_is_noticed(server: Server) -> None:
    server.run("--release", "r1")
    (server.fake / "restarts").write_text("worker-long")
    failed = server.run("--release", "r2")
    assert failed.returncode == 1
    assert "A worker or the archive does not stay up." in failed.stdout
    assert "was taken back; r1 serves" in failed.stderr


def test_a_release_that_nobody_watches_serves_and_says_so(server: Server) -> None:
    server.run("--release", "r1")
    server.fails("r2 restart alertmanager")
    failed = server.run("--release", "r2")
    assert failed.returncode == 1
    assert "r2 serves, and nobody watches over it" in failed.stderr
    assert (server.current, server.noted("next"), server.serving()) == ("r2", "", {"r2"})


def test_images_that_nobody_goes_back_to_are_removed_and_the_pooler_is_left_alone(server: Server) -> None:
    for release in ("r1", "r2", "r3"):
        server.run("--release", release)
    engine = server.engine()
    pooler = next(image for image in engine["images"] if image.startswith("comanda-pooler:"))
    assert engine["images"] == sorted(["comanda:r2", "comanda:r3", "comanda-smoke:r2", "comanda-smoke:r3", pooler])
    assert {name: containers for name, (_, containers) in engine["running"].items() if name in {"pgbouncer", "proxy", "postgres"}} == {
        "pgbouncer": 1,
        "proxy": 1,
        "postgres": 1,
    }


def test_two_deploys_do_not_work_at_once(server: Server) -> None:
    server.run("--release", "r1")
    (server.fake / "hang").write_text("wait-timeout 120 web-b")
    command = ("bash", str(server.folder / "deploy" / "staging.sh"), "--release", "r2")
    (server.fake / "calls").unlink()
    with subprocess.Popen(command, env=server.environment(), stdout=subprocess.DEVNULL, start_new_session=True) as process:
        deadline = time.monotonic() + 60
        while "web-b" not in server.steps():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        second = subprocess.run(command, env=server.environment(), capture_output=True, text=True, check=False)
        os.killpg(process.pid, 9)
    assert "another deploy is at work" in second.stderr


@pytest.mark.parametrize(
    ("at", "when", "then"),
    [
        ("migrate_fleet", "after", "deploy"),
        ("up --detach --no-deps --wait --wait-timeout 120 web-a", "after", "rollback"),
        ("up --detach --no-deps --wait --wait-timeout 120 web-b", "before", "deploy"),
        ("up --detach --no-deps worker-short", "after", "rollback"),
        ("run --rm --no-deps smoke", "after", "deploy"),
        ("record_deploy", "before", "deploy"),
    ],
    ids=["migrated", "web-a", "web-b", "workers", "smoke", "record"],
)
def test_killed_on_its_way_it_is_run_again_or_taken_back(server: Server, at: str, when: str, then: str) -> None:
    """Before a call of docker or after it: what is said next ends as if nothing had been killed."""
    server.run("--release", "r0")
    kept = server.kept()
    server.run("--release", "r1")
    [number] = [number for number, (_, call) in enumerate(server.calls(), 1) if at in call]
    server.put_back(kept)
    (server.fake / "die").write_text(f"{number} {when}")
    assert server.run("--release", "r1").returncode == -9
    again = server.run(then, "--release", "r1")
    assert again.returncode == 0, again.stderr
    wanted = "r0" if then == "rollback" else "r1"
    assert (server.current, server.serving(), server.noted("next")) == (wanted, {wanted}, "")


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


def test_a_key_for_backups_that_could_not_be_made_is_no_empty_file(server: Server) -> None:
    key = server.folder / "deploy" / "secrets" / "backup_keys"
    key.unlink()
    server.fails("* x25519")
    failed = server.run("secrets", "--release", "r0")
    assert failed.returncode == 1
    assert "no key for backups could be made" in failed.stderr
    assert not key.exists()


def test_a_channel_that_is_set_up_wrongly_is_a_problem_and_no_channel_is_said(server: Server) -> None:
    assert "Nobody is told of alerts" in server.run("check").stdout
    (server.folder / "deploy" / "secrets" / "slack_webhook_url").write_text("https://hooks.slack.example/T\n")
    assert "Nobody is told of alerts" not in server.run("check").stdout
    (server.folder / "deploy" / "secrets" / "email_url").write_text("mail.example:587\n")
    settings = server.folder / "deploy" / "staging.env"
    settings.write_text(settings.read_text().replace("OPS_EMAILS=", "OPS_EMAILS=ops@comanda.example"))
    failed = server.run("check")
    assert failed.returncode == 1
    assert "email_url begins with none of" in failed.stderr


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
        (
            "sed -i s/^CADDY_IMAGE=caddy:[^@]*/CADDY_IMAGE=caddy:1/ deploy/images.env",
            "is not in deploy/images.env. Run",
        ),
        ("chmod 755 deploy/secrets", "is open to others"),
        ("chmod 600 deploy/caddy/Caddyfile", "the containers cannot read deploy/caddy/Caddyfile"),
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
