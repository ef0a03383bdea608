"""The other files of the deploy, each by the program that reads it."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.compose import REPOSITORY

BIN = Path(sys.executable).parent
DEPLOY = REPOSITORY / "deploy"
TOLD = "a@ops.example, b@ops.example"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()


def test_hadolint_finds_nothing() -> None:
    done = subprocess.run([BIN / "hadolint", DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("sites", ["none", "stand-in"])
@pytest.mark.parametrize("certificates", ["on-demand", "files", "internal"])
def test_the_proxy_takes_its_configuration(certificates: str, sites: str, tmp_path: Path) -> None:
    text = (DEPLOY / "caddy" / "Caddyfile").read_text()
    for name in ("none", "stand-in"):
        (tmp_path / f"{name}.caddy").write_text((DEPLOY / "caddy" / f"{name}.caddy").read_text())
    key = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=*.comanda.test", "-days", "2")
    subprocess.run((*key, "-keyout", "platform.key", "-out", "platform.crt"), cwd=tmp_path, check=True, capture_output=True, timeout=60)
    (tmp_path / "Caddyfile").write_text(text.replace("/certs/", f"{tmp_path}/"))
    given = {"BASE_DOMAIN": "comanda.test", "PLATFORM_TLS": certificates, "MORE_SITES": sites, "ACME_EMAIL": "ops@comanda.test"}
    done = subprocess.run(
        [BIN / "caddy", "validate", "--config", "Caddyfile", "--adapter", "caddyfile"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **given},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_the_images_run_as_nobody_from_pinned_bases_and_look_after_their_health() -> None:
    stages = re.split(r"(?m)^FROM ", DOCKERFILE)[1:]
    assert {stage.split()[0] for stage in stages} == {"${PYTHON_IMAGE}", "${DEBIAN_IMAGE}", "packages", "app"}
    final = {re.search(r"AS (\S+)", stage)[1]: stage for stage in stages}  # type: ignore[index]
    for name in ("app", "smoke", "pooler"):
        assert re.search(r"(?m)^USER (\d+:\d+)$", final[name]), name
    assert {name for name, stage in final.items() if "HEALTHCHECK" in stage} == {"app", "smoke", "pooler", "stand-in"}
    for install in re.findall(r"pip install[^\n\\&]*", DOCKERFILE):
        assert "--require-hashes" in install
    assert "COPY . " not in DOCKERFILE
    assert not re.search(r"(?m)^ADD ", DOCKERFILE)


def test_everything_that_the_images_copy_is_there_and_let_through() -> None:
    let_through = [line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for source in re.findall(r"(?m)^COPY (?!--from)(\S+) ", DOCKERFILE):
        assert (REPOSITORY / source).exists(), source
        assert any(source == name or source.startswith(f"{name}/") for name in let_through), source
        kept_out = [line for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith(("deploy/", "platform/"))]
        assert not any(Path(source).match(pattern) for pattern in kept_out), source


def test_no_secret_goes_to_the_builder() -> None:
    kept_out = (REPOSITORY / ".dockerignore").read_text().splitlines()
    assert {"deploy/secrets", "deploy/certs", "deploy/state", "deploy/*.env"} <= set(kept_out)


def test_what_runs_is_what_was_tested() -> None:
    """The images' locks hold nothing that the lock of the tests does not hold, hashes included."""
    whole = {block.split(" \\")[0]: block for block in re.split(r"\n(?=\S)", (REPOSITORY / "requirements.lock").read_text())}
    for name in ("requirements.lock", "smoke.lock"):
        for block in re.split(r"\n(?=\S)", (DEPLOY / name).read_text()):
            pinned = block.split(" \\")[0].split(" ;")[0]
            [match] = [whole[key] for key in whole if key.split(" ;")[0] == pinned]
            assert set(re.findall(r"sha256:\w+", block)) == set(re.findall(r"sha256:\w+", match)), pinned


def test_the_images_lock_has_what_the_project_needs() -> None:
    import tomllib  # noqa: PLC0415

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    lock = (DEPLOY / "requirements.lock").read_text()
    for dependency in project["dependencies"]:
        name = re.match(r"[A-Za-z0-9.-]+", dependency)
        assert name
        assert re.search(rf"(?m)^{re.escape(name[0].lower().replace('.', '-'))}==", lock.replace("backports.", "backports-")), dependency
    assert "pytest==" not in lock


def alertmanager(
    folder: Path, *, code: int = 0, emails: str = "a@ops.example, b@ops.example", **secrets: str
) -> tuple[dict[str, Any], str]:
    """(its settings with these secrets, as amtool finds them right; what was said to be wrong)"""
    for name, secret in secrets.items():
        (folder / name).write_text(f"{secret}\n")
    done = subprocess.run(
        ["sh", DEPLOY / "alertmanager" / "start.sh", "print"],
        env={"PATH": os.environ["PATH"], "SECRETS_FOLDER": str(folder), "OPS_EMAILS": TOLD, "BASE_DOMAIN": "comanda.example"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    (folder / "settings.yml").write_text(done.stdout)
    checked = subprocess.run(["amtool", "check-config", folder / "settings.yml"], capture_output=True, text=True, check=False, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    receivers = {receiver["name"]: receiver for receiver in yaml.safe_load(done.stdout)["receivers"]}
    return receivers, done.stderr


@pytest.mark.parametrize(
    "url",
    [
        "smtp://user:password@mail.example:2525",
        "smtp://user@mail.example",
        "smtps://us%40er:p%27%3A%25s%22@mail.example:465",
        "smtps://mail.example",
        "smtp+plain://127.0.0.1:25",
    ],
)
def test_alertmanager_reads_the_mail_server_as_the_product_does(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from config import env  # noqa: PLC0415

    monkeypatch.setenv("EMAIL_URL", url)
    server = env.mail_server("EMAIL_URL", plain_anywhere=False)
    assert server is not None
    options: Any = server["OPTIONS"]
    receivers, said = alertmanager(tmp_path, email_url=url)
    [mail] = receivers["operators"]["email_configs"]
    host, _, port = mail["smarthost"].rpartition(":")
    assert (host, mail["auth_username"], mail["auth_password"]) == (options["host"], options["username"], options["password"])
    assert int(port) == (options["port"] or {"smtp": 587, "smtps": 465}[url.partition(":")[0]])
    assert mail["require_tls"] == options["use_tls"]
    assert (port == "465") == options["use_ssl"]  # by the port alone it knows that TLS comes first
    assert (mail["to"], mail["from"], said) == (TOLD, "Comanda <no-reply@comanda.example>", "")


def test_alertmanager_does_without_what_is_not_given_and_says_what_is_wrong(tmp_path: Path) -> None:
    assert alertmanager(tmp_path)[0] == {"operators": {"name": "operators"}, "heartbeat": {"name": "heartbeat"}}
    given = {"slack_webhook_url": "https://hooks.slack.example/T/it's", "heartbeat_url": "https://beats.example/1"}
    receivers, said = alertmanager(tmp_path, code=1, email_url="smtps://mail.example:587", **given)
    assert [slack["api_url"] for slack in receivers["operators"]["slack_configs"]] == [given["slack_webhook_url"]]
    assert [hook["url"] for hook in receivers["heartbeat"]["webhook_configs"]] == [given["heartbeat_url"]]
    assert "email_configs" not in receivers["operators"]
    assert "email_url says 587. No mail is sent: take smtp:// there." in said
    _, said = alertmanager(tmp_path, code=1, email_url="mail.example:587")
    assert "email_url begins with none of" in said


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [("alertname=Heartbeat", "heartbeat"), ("alertname=DatabaseDown severity=critical", "operators"), ("severity=warning", "operators")],
)
def test_alertmanager_sends_each_alert_to_its_receiver(labels: str, receiver: str, tmp_path: Path) -> None:
    alertmanager(tmp_path)
    route = ["amtool", "config", "routes", "test", f"--config.file={tmp_path / 'settings.yml'}", *labels.split()]
    assert subprocess.run(route, capture_output=True, text=True, check=True, timeout=60).stdout.strip() == receiver


def test_what_holds_alerts_back_names_alerts_that_there_are() -> None:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "rules" / "comanda.yml").read_text())
    there = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    settings = yaml.safe_load((DEPLOY / "alertmanager" / "alertmanager.yml").read_text())
    matchers = [matcher for rule in settings["inhibit_rules"] for matcher in (*rule["source_matchers"], *rule["target_matchers"])]
    named = {name for matcher in matchers for name in re.findall(r"[A-Z][A-Za-z]+", matcher)}
    assert named - there == set()
    assert len(named) > 10
