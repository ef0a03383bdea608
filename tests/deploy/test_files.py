"""The other files of the deploy, each by the program that reads it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.compose import REPOSITORY

BIN = Path(sys.executable).parent
DEPLOY = REPOSITORY / "deploy"
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
