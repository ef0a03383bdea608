"""The staging stack without Docker: the compose file's own commands, environment and configuration files, as processes of this machine.

Each service has a loopback address of its own, so that it keeps the port that it has in its container, and names are exchanged for
addresses, paths of containers for folders. What differs beyond that: PostgreSQL, SeaweedFS and Caddy come from PyPI, and the proxy is its
own authority for certificates.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from ops.postgres.programs import give_to_system_user, programs_folder, run_as, run_program
from tests.deploy.compose import REPOSITORY, compose, env_file
from tests.smoke.client import session
from tests.valkey import valkey_program

DOMAIN = "comanda.test"
PORTS = {
    "proxy": 8443,
    "web-a": 8000,
    "web-b": 8000,
    "postgres": 5432,
    "pgbouncer": 6432,
    "s3": 8333,
    "mercadopago": 8080,
    "prometheus": 9090,
    "cache": 6379,
    "alertmanager": 9093,
}
SECRETS = {
    "email_url": "",
    "slack_webhook_url": "",
    "secret_key": "of-the-stack-by-hand-" + "x" * 40,
    "vault_keys": "b25seS1mb3ItdGVzdHMtb25seS1mb3ItdGVzdHMtMTE=",
    "backup_keys": "AGE-SECRET-KEY-1KGY4PJRZ28K07J0DLM6SRK3X986QJ3P9L6HSAK0GTDQ7STVALZ8QEVFNZU",
    "database_password": "p:ss/w@rd",
    "pgbouncer_users": '"comanda" "p:ss/w@rd"',
    "cache_password": "of-the-cache",
    "cache_config": "requirepass of-the-cache\n",
    "s3_access_key": "AKSTACK",
    "s3_secret_key": "of-the-stack",
    "s3_identities": '{"identities": [{"name": "comanda", "credentials": [{"accessKey": "AKSTACK", "secretKey": "of-the-stack"}],'
    ' "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}',
    "metrics_token": "metrics-of-the-stack",
    "mercadopago_client_secret": "client-secret",
    "mercadopago_webhook_secret": "webhook-secret",
    "mercadopago_access_token": "APP_USR-platform",
    "mercadopago_emulator_key": "control-of-the-stack",
}
BIN = Path(sys.executable).parent


@dataclass(kw_only=True)
class Stack:
    folder: Path
    values: dict[str, str] = field(default_factory=dict)  # over the example's
    code: Path = REPOSITORY  # what the product's services run
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.subnet = free_subnet()
        example = env_file(REPOSITORY / "deploy" / "staging.env.example") | env_file(REPOSITORY / "deploy" / "images.tags")
        ours = {
            "COMANDA_RELEASE": "by-hand",
            "POOLER_TAG": "by-hand",
            "PUBLIC_URL": self.url,
            "BASE_DOMAIN": DOMAIN,
            "PLATFORM_TLS": "internal",
            "ACME_EMAIL": "ops@comanda.test",
            "MORE_SITES": "stand-in",
            "COMPOSE_PROFILES": "stand-in",
            "MERCADOPAGO_CLIENT_ID": "6004399184",
            "MERCADOPAGO_URL": "http://mercadopago:8080",
            "MERCADOPAGO_AUTH_URL": f"https://mercadopago.{DOMAIN}:{PORTS['proxy']}",
        }
        self.services: dict[str, Any] = compose({**example, **ours, **self.values})["services"]
        self.folder.chmod(0o755)
        for name in ("secrets", "data", "kept", "static", "run", "etc", "logs", "certificates", "s3"):
            (self.folder / name).mkdir()
        for name, secret in SECRETS.items():
            (self.folder / "secrets" / name).write_text(secret)
        for name in ("caddy", "pgbouncer", "postgres"):
            shutil.copytree(REPOSITORY / "deploy" / name, self.folder / "etc" / name)

    # --- Where everything is ----------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"https://{DOMAIN}:{PORTS['proxy']}"

    def site(self, host: str) -> str:
        return f"https://{host}:{PORTS['proxy']}"

    def address(self, service: str) -> str:
        number = list(PORTS).index(service) + 1 if service in PORTS else 100 + list(self.services).index(service)
        return f"{self.subnet}.{number}"

    @property
    def front(self) -> str:
        """Where the proxy takes https."""
        return f"{self.address('proxy')}:{PORTS['proxy']}"

    @property
    def authority(self) -> Path:
        return self.folder / "certificates" / "caddy" / "pki" / "authorities" / "local" / "root.crt"

    def client(self) -> requests.Session:
        return session(self.front, verify=str(self.authority))

    def here(self, text: str, service: str) -> str:
        """What the container would see, as this machine has it."""
        names = "|".join(re.escape(name) for name in PORTS if name != "proxy")
        text = re.sub(rf"\b({names})(?=:\d)", lambda found: self.address(found[1]), text)
        text = text.replace("0.0.0.0", self.address(service)).replace("//127.0.0.1:8000", f"//{self.address(service)}:8000")
        places = {
            "/run/secrets": "secrets",
            "/etc/caddy": "etc/caddy",
            "/etc/alertmanager": "etc/alertmanager",
            "/etc/pgbouncer": "etc/pgbouncer",
            "/etc/postgresql": "etc/postgres",
            "/var/lib/comanda": "data",
            "/srv/kept": "kept",
            "/run/comanda": f"run/{service}",
        }
        for inside, outside in places.items():
            text = text.replace(inside, str(self.folder / outside))
        return text

    def environment(self, service: str, **more: str) -> dict[str, str]:
        """The container's, and no more of this machine's than it would find in its image."""
        given = {name: self.here(str(value), service) for name, value in self.services[service].get("environment", {}).items()}
        image = {"PATH": f"{BIN}:{programs_folder()}:/usr/sbin:/usr/bin:/bin", "PYTHONUNBUFFERED": "1", "HOME": str(self.folder)}
        python = {"PYTHONPATH": f"{self.code}:{self.code / 'platform'}", "STATIC_ROOT": str(self.folder / "static")}
        return {**image, **python, "PYTHONDONTWRITEBYTECODE": "1", "STACK_SERVICE": self._mark(service), **given, **more}

    def _mark(self, service: str) -> str:
        """In the environment of all processes of a service."""
        return f"{self.folder}/{service}"

    def processes_of(self, service: str) -> dict[int, str]:
        """All that would be in its container, with their command lines: also what has a session of its own, or lost its parent."""
        found, mark = {}, f"STACK_SERVICE={self._mark(service)}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # It has ended.
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return found

    def log(self, service: str) -> str:
        path = self.folder / "logs" / f"{service}.log"
        return path.read_text(errors="replace")[-4000:] if path.exists() else ""

    # --- Starting and stopping --------------------------------------------------------------------------------------------

    def start(self, service: str, *command: str, cwd: Path | None = None, privileges: Mapping[str, Any] | None = None, **more: str) -> None:
        command = command or tuple(self.here(part, service) for part in self.services[service]["command"])
        (self.folder / "run" / service).mkdir(exist_ok=True)
        with (self.folder / "logs" / f"{service}.log").open("ab") as output:
            self.processes[service] = subprocess.Popen(
                command,
                cwd=cwd or self.code,
                env=self.environment(service, **more),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **(privileges or {}),
            )

    def stop(self, service: str, *, seconds: float = 60) -> int:
        """As `docker stop`: the service's own signal, then its grace."""
        self._tell(service)
        process = self.processes.pop(service)
        try:
            return process.wait(seconds)
        finally:
            self._end(service, process)

    def _tell(self, service: str) -> None:
        number = {"SIGINT": signal.SIGINT}.get(self.services[service].get("stop_signal", ""), signal.SIGTERM)
        self.processes[service].send_signal(number)

    def kill(self, service: str) -> None:
        """With everything below it, as the end of a container does."""
        self._end(service, self.processes.pop(service))

    def _end(self, service: str, process: subprocess.Popen[bytes]) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        while left := [pid for pid, command in self.processes_of(service).items() if command]:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        process.wait(10)

    def manage(self, *arguments: str, service: str = "migrate", seconds: float = 180) -> str:
        """A command in a container of the image: `docker compose run --rm migrate python manage.py ...`."""
        done = subprocess.run(
            (sys.executable, "manage.py", *arguments),
            cwd=self.code,
            env=self.environment(service),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def start_postgres(self) -> None:
        data, address = self.folder / "postgres", self.address("postgres")
        sockets = Path(f"/tmp/{self.subnet}.pg")
        for path in (data, sockets):
            path.mkdir(mode=0o700, exist_ok=True)
            give_to_system_user(path)
        if not (data / "PG_VERSION").exists():
            options = self.services["postgres"]["environment"]["POSTGRES_INITDB_ARGS"].split()
            run_program("initdb", f"--pgdata={data}", "--username=postgres", "--no-sync", *options, folder=data, timeout=120)
        small = ("-c", "shared_buffers=128MB", "-c", "max_wal_size=512MB", "-c", "min_wal_size=64MB")
        settings = [self.here(part, "postgres") for part in self.services["postgres"]["command"][1:]]
        here = ("-c", f"listen_addresses={address}", "-c", f"unix_socket_directories={sockets}")
        self.start(
            "postgres", str(programs_folder() / "postgres"), "-D", str(data), *settings, *here, *small, cwd=data, privileges=run_as()
        )
        wait_for(lambda: takes(address, PORTS["postgres"]), what="PostgreSQL", log=lambda: self.log("postgres"))
        if not (self.folder / "role.made").exists():
            environment = self.environment("postgres", PGHOST=str(sockets))
            wait_for(
                lambda: subprocess.run(["pg_isready", "-q"], env=environment, check=False).returncode == 0,
                what="pg_isready",
                log=lambda: self.log("postgres"),
            )
            script = self.folder / "etc" / "postgres" / "10-role.sh"
            made = subprocess.run(["sh", str(script)], env=environment, check=False, capture_output=True, text=True, timeout=60)
            assert made.returncode == 0, made.stderr
            (self.folder / "role.made").touch()

    def start_pgbouncer(self) -> None:
        path = self.folder / "etc" / "pgbouncer" / "pgbouncer.ini"
        text = path.read_text().replace("host=postgres ", f"host={self.address('postgres')} ")
        path.write_text(self.here(text, "pgbouncer"))
        self.start("pgbouncer", privileges=run_as())
        wait_for(lambda: takes(self.address("pgbouncer"), PORTS["pgbouncer"]), what="PgBouncer", log=lambda: self.log("pgbouncer"))

    def start_cache(self) -> None:
        self.start("cache", str(valkey_program()), *(self.here(part, "cache") for part in self.services["cache"]["command"][1:]))
        wait_for(lambda: takes(self.address("cache"), PORTS["cache"]), what="Valkey", log=lambda: self.log("cache"))

    def start_s3(self) -> None:
        """SeaweedFS, whose other parts have this machine's loopback to themselves in the container, and share it here."""
        text = [part.replace("127.0.0.1", self.address("s3")) for part in self.services["s3"]["command"]]
        text = [self.here(part, "s3").replace("-dir=/data", f"-dir={self.folder / 's3'}") for part in text]
        self.start("s3", str(BIN / "weed"), *text)

    def wait_for_s3(self) -> None:
        url = f"http://{self.address('s3')}:{PORTS['s3']}/healthz"
        wait_for(lambda: answers(url), what="SeaweedFS", log=lambda: self.log("s3"), seconds=90)

    def start_mercadopago(self) -> None:
        shell, flags, script = self.services["mercadopago"]["command"]
        ours = f"python -m tests.deploy.hosts {DOMAIN}={self.address('proxy')} deploy.mercadopago"
        script = self.here(script.replace("python -m deploy.mercadopago", ours), "mercadopago")
        more: dict[str, Any] = {"STAND_IN_URL": self.site(f"mercadopago.{DOMAIN}"), "SSL_CERT_FILE": str(self.authority)}
        self.start("mercadopago", shell, flags, script, cwd=REPOSITORY, **more)

    def start_web(self, *services: str) -> None:
        for service in services or ("web-a", "web-b"):
            self.start(service, sys.executable, *self.services[service]["command"][1:])

    def wait_for_web(self, *services: str) -> None:
        """As Docker's health check does."""
        for service in services or ("web-a", "web-b"):
            url = f"http://{self.address(service)}:{PORTS[service]}/health/live"
            wait_for(lambda url=url: answers(url), what=service, log=lambda service=service: self.log(service))  # type: ignore[misc]

    def start_workers(self, *services: str) -> None:
        """Each with the watchdog that its container starts beside it."""
        for service in services or ("worker-short", "worker-long"):
            self.start(service)

    def start_watching(self, *, slack: str = "", heartbeat: str = "", email: str = "") -> None:
        """Prometheus and Alertmanager with the compose file's configuration and rules, until all is scraped; seconds for minutes."""
        self._start_alertmanager({"slack_webhook_url": slack, "heartbeat_url": heartbeat, "email_url": email})
        folder, address = self.folder / "etc" / "prometheus", f"{self.address('prometheus')}:9090"
        shutil.copytree(REPOSITORY / "deploy" / "prometheus", folder)
        path = folder / "prometheus.yml"
        text = path.read_text().replace("localhost:9090", address).replace(": 15s", ": 2s").replace(": 10s", ": 2s")
        path.write_text(self.here(text, "prometheus"))
        rules = folder / "rules" / "comanda.yml"
        rules.write_text(re.sub(r"for: \S+", "for: 1s", rules.read_text()))
        options = (f"--config.file={path}", f"--storage.tsdb.path={self.folder / 'prometheus'}", f"--web.listen-address={address}")
        # As version 3, which the image has, does by itself.
        self.start("prometheus", "prometheus", *options, "--enable-feature=expand-external-labels", "--rules.alert.resend-delay=2s")
        wanted = {"comanda": 2, "prometheus": 1, "alertmanager": 1}
        wait_for(lambda: scraped(address) == wanted, what="Prometheus", log=lambda: self.log("prometheus"))

    def _start_alertmanager(self, secrets: Mapping[str, str]) -> None:
        """With secrets of its own: the product would refuse receivers without TLS."""
        folder, hidden = self.folder / "etc" / "alertmanager", self.folder / "secrets-of-alertmanager"
        shutil.copytree(REPOSITORY / "deploy" / "alertmanager", folder)
        settings = folder / "alertmanager.yml"
        settings.write_text(re.sub(r"(group_wait|group_interval): \S+", r"\1: 1s", settings.read_text()))
        hidden.mkdir()
        for name, secret in secrets.items():
            (hidden / name).write_text(f"{secret}\n")
        more: dict[str, Any] = {
            "OPS_EMAILS": "ops@comanda.test",
            "SECRETS_FOLDER": str(hidden),
            "SETTINGS_FILE": str(self.folder / "run" / "alertmanager.yml"),
        }
        service = self.services["alertmanager"]
        shell, script, program = (self.here(part, "alertmanager") for part in service["entrypoint"])
        kept = f"={self.folder / 'alertmanager'}"
        options = [self.here(part, "alertmanager").replace("=/alertmanager", kept) for part in service["command"]]
        self.start("alertmanager", shell, script, program.replace("/bin/", "/usr/bin/prometheus-"), *options, **more)
        url = f"http://{self.address('alertmanager')}:{PORTS['alertmanager']}/-/healthy"
        wait_for(lambda: answers(url), what="Alertmanager", log=lambda: self.log("alertmanager"))

    def start_proxy(self) -> None:
        address = self.address("proxy")
        more: dict[str, Any] = {}
        more |= {"LISTEN_ADDRESS": address, "ASK_ADDRESS": f"{address}:8081", "ASK_BIND": address, "KEPT_FOLDER": str(self.folder / "kept")}
        more |= {"XDG_DATA_HOME": str(self.folder / "certificates"), "XDG_CONFIG_HOME": str(self.folder / "run")}
        more |= {"CADDY_ADMIN": f"unix/{self.folder}/run/proxy/admin.sock"}
        self.start("proxy", str(BIN / "caddy"), *(self.here(part, "proxy") for part in self.services["proxy"]["command"][1:]), **more)
        wait_for(lambda: self.authority.exists() and self.is_served(), what="Caddy", log=lambda: self.log("proxy"))

    def is_served(self) -> bool:
        """The platform and the stand-in through the proxy, which makes their certificates after its start."""
        with self.client() as client, suppress(requests.RequestException):
            return client.get(f"{self.url}/health", timeout=10).ok and bool(client.get(self.site(f"mercadopago.{DOMAIN}"), timeout=10))
        return False

    def prepare(self) -> None:
        """What the deploy does before the new code serves: migrations, and static files kept for the pages of this release."""
        self.manage("migrate_fleet")
        self.manage("collectstatic", "--no-input", "--verbosity=0", "--ignore=redoc*")
        shutil.copytree(self.folder / "static", self.folder / "kept" / "static", dirs_exist_ok=True)

    def roll(self, service: str) -> None:
        """`docker compose up -d --no-deps SERVICE`: stop, start, until it is healthy."""
        self.stop(service)
        if service.startswith("web"):
            self.start_web(service)
            self.wait_for_web(service)
        else:
            self.start_workers(service)

    def close(self) -> None:
        """The proxy first and PostgreSQL last; those between are told together."""
        between = [name for name in self.processes if name not in {"proxy", "postgres"}]
        for service in [name for name in ("proxy", *between, "postgres") if name in self.processes]:
            if service == "proxy":
                self._tell(service)
                for other in between:
                    self._tell(other)
            with suppress(subprocess.TimeoutExpired):
                self.stop(service, seconds=1 if service == "s3" else 30)
        shutil.rmtree(f"/tmp/{self.subnet}.pg", ignore_errors=True)


@contextmanager
def running_stack(
    folder: Path, *, workers: Iterable[str] = ("worker-short",), s3: bool = False, archive: bool = False, **values: str
) -> Iterator[Stack]:
    """Everything up, migrated, behind its proxy."""
    with ExitStack() as ending:
        stack = Stack(folder=folder, values=values)
        ending.callback(stack.close)
        if s3:
            stack.start_s3()
        stack.start_mercadopago()
        stack.start_postgres()
        stack.start_pgbouncer()
        stack.start_cache()
        stack.prepare()
        stack.start_web()
        if s3:
            stack.wait_for_s3()
        stack.start_workers(*workers)
        if archive:
            stack.start("archive", sys.executable, *stack.services["archive"]["command"][1:])
        stack.wait_for_web()
        stack.start_proxy()
        yield stack


def free_subnet() -> str:
    """127.a.b, whose addresses nobody uses."""
    for number in range(os.getpid(), os.getpid() + 60_000):
        subnet = f"127.{10 + number // 250 % 200}.{number % 250 + 1}"
        if not any(takes(f"{subnet}.{index + 1}", port) for index, port in enumerate(PORTS.values())):
            return subnet
    raise AssertionError("No loopback address is free.")


def takes(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((address, port)) == 0


def scraped(address: str) -> dict[str, int]:
    """How many of each job's targets Prometheus finds up."""
    try:
        found = requests.get(f"http://{address}/api/v1/targets", timeout=5).json()["data"]["activeTargets"]
    except (requests.RequestException, ValueError):
        return {}
    return dict(Counter(target["labels"]["job"] for target in found if target["health"] == "up"))


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


def wait_for(look: Callable[[], bool], *, what: str, log: Callable[[], str], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, f"{what} does not come up:\n{log()}"
        time.sleep(0.1)
