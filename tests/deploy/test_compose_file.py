"""What Docker would say, and what it would not: the compose file against its schema, the rules of the house, and the product's settings."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.compose import FILE, REPOSITORY, Missing, compose, env_file, filled, raw, variables
from tests.valkey import valkey_program

EXAMPLE = env_file(REPOSITORY / "deploy" / "staging.env.example")
TAGS = env_file(REPOSITORY / "deploy" / "images.tags")
VALUES = {**EXAMPLE, **TAGS, "ACME_EMAIL": "ops@comanda.example", "COMANDA_RELEASE": "r1", "POOLER_TAG": "p1"}
SERVICES: dict[str, Any] = compose(VALUES)["services"]
ONE_SHOT = {"migrate", "smoke"}
OURS = {name for name, service in SERVICES.items() if service["image"].startswith("comanda:")}
SOURCES = [path for folder in ("platform", "tenants", "shop", "billing", "ops") for path in (REPOSITORY / folder).rglob("*.py")]
SETTINGS = REPOSITORY / "platform" / "config" / "settings.py"
READ = re.compile(r"""env\.\w+\(\s*"([A-Z0-9_]+)"|os\.environ(?:\.get\(|\[)"([A-Z0-9_]+)\"""")
ELSEWHERE = {"Q_CLUSTER_NAME"}  # django-q2 reads it
LEFT_OUT = {
    **dict.fromkeys(("ARCHIVE_FOLDER", "BACKUP_FOLDER", "STATIC_ROOT"), "Folders of the volume and of the image."),
    **dict.fromkeys(("ARCHIVE_DATABASE_URL", "ARCHIVE_SLOT"), "The product's role may replicate here, and there is one archive."),
    **dict.fromkeys(("ARCHIVE_BASE_HOURS", "ARCHIVE_FULL_DAYS", "ARCHIVE_SHIP_SECONDS"), "The goals for losses stand on the defaults."),
    **dict.fromkeys(("JOB_BEAT_SECONDS", "JOB_HEARTBEAT_SECONDS", "JOB_LEASE_SECONDS", "JOB_STALL_SECONDS"), "They fit one another."),
    **dict.fromkeys(("JOB_RETRY_SECONDS", "JOB_REWAKE_SECONDS"), "Nothing of a server: tests shorten them."),
    "JOB_STOP_SECONDS": "The grace of the workers' containers stands on it.",
    "JOB_KEEP_DAYS": "The alerts and the console look back so far.",
    "TRUSTED_PROXY_NETWORKS": "Docker's networks are among the private ones, which are the default.",
    "MERCADOPAGO_EMULATOR_KEY": "In development alone.",
    "COMANDA_DEMO": "In development alone.",
    "TEST_DATABASE_NAME": "For tests.",
    **dict.fromkeys(("PG_PROGRAMS", "PGPASSWORD"), "Of a machine with PostgreSQL's programs elsewhere, and of a password file's owner."),
}


def settings_read() -> set[str]:
    return {name for path in SOURCES for pair in READ.findall(path.read_text()) for name in pair if name}


def test_it_keeps_to_the_compose_specification() -> None:
    program = Path(sys.executable).parent / "check-jsonschema"
    done = subprocess.run(
        [program, "--builtin-schema", "vendor.compose-spec", str(FILE)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout.strip()) == (0, "ok -- validation done"), done.stdout


def test_each_variable_is_in_the_example_and_each_of_the_example_is_used() -> None:
    by_script = {"COMANDA_RELEASE", "POOLER_TAG", *TAGS}
    script = {"COMPOSE_PROFILES", "CANARY"}
    assert set(variables()) - by_script == set(EXAMPLE) - script
    assert {name for name, stops in variables().items() if stops} <= {*by_script, "PUBLIC_URL", "BASE_DOMAIN", "ACME_EMAIL"}


def test_it_does_not_go_up_half_filled() -> None:
    for name in ("PUBLIC_URL", "BASE_DOMAIN", "ACME_EMAIL", "COMANDA_RELEASE", "POSTGRES_IMAGE"):
        with pytest.raises(Missing, match=name):
            compose({key: value for key, value in VALUES.items() if key != name})


def test_the_filling_in_is_composes_own() -> None:
    assert filled("${A:-b} ${A} $${A} ${C:-}${D-x}", {"C": "c"}) == "b  ${A} cx"


@pytest.mark.parametrize("name", sorted(OURS))
def test_each_setting_is_one_that_the_product_reads(name: str) -> None:
    given = {key.removesuffix("_FILE") for key in SERVICES[name].get("environment", {})}
    assert given - settings_read() - ELSEWHERE == set()


def test_each_setting_that_the_product_reads_is_given_or_left_out_for_a_reason() -> None:
    """Whoever adds a setting decides here whether a server has it."""
    given = {key.removesuffix("_FILE") for name in OURS for key in SERVICES[name].get("environment", {})}
    assert settings_read() - given == set(LEFT_OUT), "Give it in x-settings, or say here why not."
    named = set(re.findall(r"env\.\w+\(\s*(?:name=)?\"(\w+)\"", SETTINGS.read_text()))
    assert named <= settings_read(), "READ finds every way in which a setting is named."
    assert len(re.findall(r"\benv\.[a-z_]+\(", SETTINGS.read_text())) == len(re.findall(READ, SETTINGS.read_text()))


@pytest.mark.parametrize("name", sorted(OURS))
def test_the_product_starts_with_these_settings(name: str, tmp_path: Path) -> None:
    """The settings are read by the settings themselves, with secrets from files as in the container."""
    environment = {key: str(value) for key, value in SERVICES[name]["environment"].items()}
    secrets = {
        "email_url": "",
        "slack_webhook_url": "",
        "vault_keys": "b25seS1mb3ItdGVzdHMtb25seS1mb3ItdGVzdHMtMTE=",
        "backup_keys": "AGE-SECRET-KEY-1KGY4PJRZ28K07J0DLM6SRK3X986QJ3P9L6HSAK0GTDQ7STVALZ8QEVFNZU",
    }
    for key, path in environment.items():
        if key.endswith("_FILE"):
            secret = path.removeprefix("/run/secrets/")
            (tmp_path / secret).write_text(secrets.get(secret, "x" * 60))
            environment[key] = str(tmp_path / secret)
    shown = "s.DATABASES['default']['HOST'], s.DATABASES['default']['PASSWORD'][:1], s.DATABASE_DIRECT_URL[:31], s.HTTPS, s.TRUSTED_PROXIES"
    done = subprocess.run(
        [sys.executable, "-c", f"from django.conf import settings as s; print({shown})"],
        env={"PATH": "/usr/bin:/bin", "DJANGO_SETTINGS_MODULE": "config.settings", **environment, "COMANDA_DATA": str(tmp_path)},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    host = "postgres" if name == "migrate" else "pgbouncer"
    assert done.stdout == f"{host} x postgresql://comanda:{'x' * 10} True 1\n", done.stderr


def test_every_file_and_folder_is_there() -> None:
    made_on_the_server = {"./deploy/certs"}
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./") and source not in made_on_the_server:
                assert (REPOSITORY / source).exists(), source
            elif not source.startswith("./"):
                assert source in raw()["volumes"], source


def test_no_mount_hides_what_an_image_starts_with() -> None:
    """Grafana ends without its own grafana.ini; the others are given all that they read."""
    targets = {name: [volume.split(":")[1] for volume in service.get("volumes", [])] for name, service in SERVICES.items()}
    assert "/etc/grafana" not in targets["grafana"]
    assert {"/etc/grafana/provisioning", "/etc/grafana/dashboards"} <= set(targets["grafana"])
    assert SERVICES["prometheus"]["command"][0] == "--config.file=/etc/prometheus/prometheus.yml"
    assert SERVICES["alertmanager"]["entrypoint"][1] == "/etc/alertmanager/start.sh"


def test_every_secret_is_declared_and_used_and_made_by_the_script() -> None:
    declared = {name: secret["file"] for name, secret in raw()["secrets"].items()}
    assert declared == {name: f"./deploy/secrets/{name}" for name in declared}
    assert {name for service in SERVICES.values() for name in service.get("secrets", [])} == set(declared)
    script = (REPOSITORY / "deploy" / "staging.sh").read_text()
    assert [name for name in declared if name not in script] == []
    for name, service in SERVICES.items():
        paths = re.findall(r"/run/secrets/([a-z0-9_]+)", str(service))
        assert set(paths) <= set(service.get("secrets", [])), name


def test_only_the_proxy_has_ports() -> None:
    assert {name: service["ports"] for name, service in SERVICES.items() if "ports" in service} == {
        "proxy": ["80:8080", "443:8443", "443:8443/udp"]
    }


def test_the_networks_keep_apart_what_must_not_meet() -> None:
    networks = raw()["networks"]
    assert {name for name, network in networks.items() if network.get("internal")} == {"front", "data", "watch"}
    on = {network: {name for name, service in SERVICES.items() if network in service["networks"]} for network in networks}
    assert on["public"] == {"proxy"}
    assert on["data"] & {"proxy", "grafana", "prometheus", "mercadopago", "smoke"} == set()
    assert {"postgres", "pgbouncer", "cache", "s3"} & (on["front"] | on["outside"] | on["watch"] | on["public"]) == set()
    assert on["watch"] == {"prometheus", "alertmanager", "grafana", "web-a", "web-b"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_each_service_is_held_to_the_rules(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    # Caddy's program has it as a capability of its file: the kernel starts it with no other bound.
    assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "proxy" else [])
    assert "privileged" not in service
    assert service["user"].split(":")[0] not in {"0", "root", ""}
    assert service["restart"] == ("no" if name in ONE_SHOT else "unless-stopped")
    assert "mem_limit" in service
    assert "cpus" in service
    assert service["logging"]["options"]["max-size"]
    assert service["logging"]["options"]["max-file"]
    assert "healthcheck" in service
    assert "docker.sock" not in str(service)


def test_no_image_is_whatever_is_newest() -> None:
    for name, image in TAGS.items():
        assert ":" in image, name
        assert not image.endswith((":latest", ":stable", ":main")), name
    used = {service["image"] for service in raw()["services"].values()}
    assert {image for image in used if not image.startswith(("${", "comanda"))} == set()
    assert all(":${COMANDA_RELEASE" in image or ":${POOLER_TAG" in image for image in used if image.startswith("comanda"))


def test_the_images_are_those_that_the_tests_use() -> None:
    """The proxy and the S3 of the tests are the same versions, from PyPI."""
    lock = (REPOSITORY / "requirements.lock").read_text()
    version = subprocess.run((valkey_program(), "--version"), capture_output=True, text=True, check=True).stdout
    assert f" v={TAGS['VALKEY_IMAGE'].partition(':')[2]} " in version
    assert f"\ncaddy-bin=={TAGS['CADDY_IMAGE'].partition(':')[2]} " in lock
    assert f"\nseaweedfs-bin=={TAGS['SEAWEEDFS_IMAGE'].partition(':')[2]} " in lock


def test_ports_and_addresses_agree() -> None:
    web, proxy = SERVICES["web-a"], SERVICES["proxy"]["environment"]
    assert proxy["WEB_UPSTREAMS"] == " ".join(f"{name}:{web['environment']['PORT']}" for name in ("web-a", "web-b"))
    assert f"127.0.0.1:{web['environment']['PORT']}/health/live" in str(web["healthcheck"])
    pooler = (REPOSITORY / "deploy" / "pgbouncer" / "pgbouncer.ini").read_text()
    assert "listen_port = 6432" in pooler
    assert "host=postgres port=5432" in pooler
    assert "@pgbouncer:6432/" in web["environment"]["DATABASE_URL"]
    assert "@postgres:5432/" in web["environment"]["DATABASE_DIRECT_URL"]
    assert web["environment"]["CACHE_URL"] == "redis://cache:6379/0"
    assert "6379" in SERVICES["cache"]["command"]
    assert "-s3.port=8333" in SERVICES["s3"]["command"]
    assert web["environment"]["S3_ENDPOINT"] == "http://s3:8333"
    caddy = (REPOSITORY / "deploy" / "caddy" / "Caddyfile").read_text()
    assert {"http_port {$HTTP_PORT:8080}", "https_port {$HTTPS_PORT:8443}"} <= {line.strip() for line in caddy.splitlines()}
    assert "/health/accepting" in caddy


def test_both_web_servers_are_the_same_and_drain_in_time() -> None:
    assert SERVICES["web-a"] == SERVICES["web-b"]
    environment = SERVICES["web-a"]["environment"]
    from config.web import STOP_SECONDS  # noqa: PLC0415

    assert int(SERVICES["web-a"]["stop_grace_period"].removesuffix("s")) > int(environment["DRAIN_SECONDS"]) + STOP_SECONDS
    assert int(environment["DRAIN_SECONDS"]) >= 3  # the proxy asks each second


def test_each_worker_has_its_watchdog_and_a_folder_of_its_own_for_the_pid_file() -> None:
    for queue in ("short", "long"):
        worker = SERVICES[f"worker-{queue}"]
        assert f"run-{queue}:/var/lib/comanda/run" in worker["volumes"]
        [shell, flags, script, name] = worker["command"]
        assert (shell, flags, name) == ("sh", "-euc", queue)
        assert worker["healthcheck"]["test"][-2:] == ["--queue", queue]
        checked = subprocess.run(
            [Path(sys.executable).parent / "shellcheck", "--shell=sh", "-"], input=script, capture_output=True, text=True, check=False
        )
        assert (checked.returncode, checked.stdout) == (0, "")


def test_a_deploy_of_the_product_leaves_alone_what_everybodys_requests_go_through() -> None:
    """Docker makes a container anew when anything of its service has changed."""
    after = compose({**VALUES, "COMANDA_RELEASE": "r2"})["services"]
    changed = {name for name in SERVICES if SERVICES[name] != after[name]}
    assert changed == OURS | {"smoke", "mercadopago"}


def test_postgres_is_set_as_the_product_needs_it() -> None:
    from config.dev.postgres import SETTINGS  # noqa: PLC0415

    text = (REPOSITORY / "deploy" / "postgres" / "postgresql.conf").read_text()
    given = {name: value.strip("'") for name, value in re.findall(r"(?m)^(\w+) = ('[^']*'|\S+)", text)}
    needed = ("wal_level", "summarize_wal", "max_locks_per_transaction", "client_connection_check_interval", "fsync", "timezone", "jit")
    assert {name: given[name] for name in needed} == {name: SETTINGS[name] for name in needed}
    assert int(given["max_wal_senders"]) >= 4
    assert given["max_slot_wal_keep_size"].endswith("GB")
    pooled = 25
    assert int(given["max_connections"]) > pooled + 50


def test_prometheus_asks_both_web_servers_and_grafana_finds_prometheus() -> None:
    folder = REPOSITORY / "deploy"
    jobs = {job["job_name"]: job for job in yaml.safe_load((folder / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]}
    assert jobs["comanda"]["static_configs"] == [{"targets": SERVICES["proxy"]["environment"]["WEB_UPSTREAMS"].split()}]
    assert jobs["comanda"]["authorization"] == {"credentials_file": "/run/secrets/metrics_token"}
    assert "metrics_token" in SERVICES["prometheus"]["secrets"]
    [source] = yaml.safe_load((folder / "grafana" / "provisioning" / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
