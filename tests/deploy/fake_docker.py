"""Stands in for docker and for curl where there is no engine: `docker` and `curl` of the tests of deploy/staging.sh call it.

It knows the options that docker and its compose plugin have of those that are asked for, the compose file's services, which images there
are and which containers run, and fails as they do: a command in a container that does not run, an image that nobody has built, an option or
a service that is not there. What a container does inside, it cannot know. Notes each call; fails, hangs or kills the script that asks as
the files beside it say. A deploy calls it dozens of times: it imports next to nothing, and what it keeps are Python's literals.
"""

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HERE = os.environ["FAKE"]
KILL = 9
WITH_VALUE = {"--env-file", "--file", "--profile", "--wait-timeout", "--signal", "--since"}
WITH_VALUE |= {"--tag", "--target", "--build-arg", "--network", "--format", "--filter"}
# What is asked for, with the options that it has there.
COMPOSE = {
    "version": set(),
    "config": {"--quiet"},
    "up": {"--detach", "--wait", "--wait-timeout", "--no-deps", "--no-recreate"},
    "exec": {"-T"},
    "run": {"--rm", "--no-deps"},
    "kill": {"--signal"},
    "restart": set(),
    "ps": {"--all", "--quiet"},
    "logs": {"--since"},
}
DOCKER = {
    "info": set(),
    "build": {"--file", "--target", "--tag", "--build-arg"},
    "buildx imagetools inspect": {"--format"},
    "image inspect": set(),
    "image ls": {"--format", "--filter"},
    "image rm": set(),
    "inspect": {"--format"},
    "run": {"--rm", "--network"},
}
DIGEST = "sha256:" + "a" * 64


class Refused(Exception):
    def __init__(self, said: str, code: int = 1) -> None:
        super().__init__(said)
        self.code = code


def text(name: str) -> str:
    """Of a file beside it; empty where there is none."""
    try:
        with open(f"{HERE}/{name}") as file:
            return file.read()
    except FileNotFoundError:
        return ""


class Engine:
    """What is built and what runs, kept from call to call. Each method is a command of docker's or compose's."""

    def __init__(self) -> None:
        found = eval(text("engine") or "{}")
        self.images: list[str] = found.get("images", [])
        self.running: dict[str, list[Any]] = found.get("running", {})  # service -> [image, how many containers it has had]
        self.services: dict[str, str] = eval(text("services"))

    def save(self) -> None:
        with open(f"{HERE}/engine", "w") as file:
            file.write(repr({"images": self.images, "running": self.running}))

    def image_of(self, service: str) -> str:
        if service not in self.services:
            raise Refused(f"no such service: {service}")
        image = self.services[service]
        while "${" in image:
            before, _, rest = image.partition("${")
            variable, _, after = rest.partition("}")
            image = before + os.environ.get(variable.partition(":")[0], "pinned") + after
        if image.startswith("comanda") and image not in self.images:
            raise Refused(f"pull access denied for {image}, repository does not exist")
        return image

    # --- Compose ---

    def compose_up(self, services: list[str], options: list[str]) -> None:
        for service in services:
            image, had = self.image_of(service), self.running.get(service)
            if had is None or (had[0] != image and "--no-recreate" not in options):
                self.running[service] = [image, had[1] + 1 if had else 1]

    def compose_exec(self, words: list[str], _options: list[str]) -> None:
        if words[0] not in self.running:
            raise Refused(f'service "{words[0]}" is not running')

    def compose_run(self, words: list[str], _options: list[str]) -> None:
        self.image_of(words[0])

    def compose_kill(self, services: list[str], options: list[str]) -> None:
        for service in services:
            self.compose_exec([service], options)

    compose_restart = compose_kill

    def compose_ps(self, services: list[str], options: list[str]) -> None:
        for service in services:
            if service in self.running and "--quiet" in options:
                say(f"{service}-{self.running[service][1]}")

    # --- Docker ---

    def docker_build(self, _words: list[str], options: list[str]) -> None:
        self.images = sorted({*self.images, options[options.index("--tag") + 1]})

    def docker_buildx_imagetools_inspect(self, _words: list[str], _options: list[str]) -> None:
        say(DIGEST)

    def docker_image_inspect(self, words: list[str], _options: list[str]) -> None:
        if words[0] not in self.images:
            raise Refused(f"Error response from daemon: No such image: {words[0]}")

    def docker_image_ls(self, _words: list[str], _options: list[str]) -> None:
        for image in self.images:
            say(image)

    def docker_image_rm(self, words: list[str], options: list[str]) -> None:
        self.docker_image_inspect(words, options)
        if words[0] in [image for image, _ in self.running.values()]:
            raise Refused(f"conflict: unable to remove repository reference {words[0]}")
        self.images.remove(words[0])

    def docker_run(self, words: list[str], _options: list[str]) -> None:
        if words[0] not in self.images:
            raise Refused(f"Unable to find image '{words[0]}' locally", 125)
        say("AGE-SECRET-KEY-1FAKE")

    def docker_inspect(self, containers: list[str], _options: list[str]) -> None:
        """Its start is the same as long as it stays up."""
        for container in containers:
            again = text("restarts") == container.rpartition("-")[0]
            say(f"/{container} {time.monotonic() if again else 0}")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def parts(arguments: list[str], known: set[str]) -> tuple[list[str], list[str]]:
    """(options, what comes after them). Refused for an option that docker does not have there."""
    options: list[str] = []
    rest = list(arguments)
    while rest and rest[0].startswith("-"):
        name = rest.pop(0)
        if name not in known:
            raise Refused(f"unknown flag: {name}", 125)
        options.append(name)
        if name in WITH_VALUE:
            options.append(rest.pop(0))
    return options, rest


def docker(engine: Engine, words: list[str]) -> None:
    kind, commands = "docker", DOCKER
    if words[0] == "compose":
        kind, commands = "compose", COMPOSE
        _, words = parts(words[1:], {"--env-file", "--file", "--profile"})
    command = next((name for name in commands if f"{' '.join(words)} ".startswith(f"{name} ")), "")
    if not command:
        raise Refused(f"docker: '{' '.join(words[:1])}' is not a docker command.", 125)
    options, rest = parts(words[len(command.split()) :], commands[command])
    work = getattr(engine, f"{kind}_{command.replace(' ', '_')}", None)
    if work is not None:
        work(rest, options)


def kill_who_asks(call: int, when: str) -> None:
    if text("die") == f"{call} {when}":
        os.unlink(f"{HERE}/die")
        os.killpg(os.getpgid(os.getppid()), KILL)


def main() -> None:
    words = sys.argv[1:]
    call, name = " ".join(words), os.path.basename(sys.argv[0])
    release = os.environ.get("COMANDA_RELEASE", "")
    with open(f"{HERE}/calls", "a") as calls:
        calls.write(f"{(release, name, call)!r}\n")
    number = len(text("calls").splitlines())
    kill_who_asks(number, "before")
    hanging = text("hang")
    if hanging and hanging in call:
        time.sleep(60)
    for line in text("fail").splitlines():
        of, _, part = line.partition(" ")
        if part in call and of in {"*", release}:
            sys.exit("as the test wants")
    if name == "docker":
        engine = Engine()
        try:
            docker(engine, words)
        except Refused as refused:
            sys.stderr.write(f"{refused}\n")
            sys.exit(refused.code)
        engine.save()
    sys.stdout.flush()
    kill_who_asks(number, "after")
