"""What `make setup` and `make test` call: translations and system packages."""

import gettext
import os
from dataclasses import replace
from pathlib import Path

import pytest

from config.dev import system_packages
from config.dev.catalogues import catalogues, compile_catalogue
from config.dev.environment import REPOSITORY
from config.dev.static import remember_static_files, static_files, static_files_changed
from config.dev.system_packages import SystemPackage

HEAD = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'
ABSENT = SystemPackage(programs=("no-such-browser",), debian=("no-such-browser",), purpose="the tests of the pages")


def catalogue(folder: Path, text: str) -> Path:
    source = folder / "locale" / "es" / "LC_MESSAGES" / "django.po"
    source.parent.mkdir(parents=True)
    source.write_text(HEAD + text)
    return source


def test_a_translation_is_compiled_once_and_again_when_it_changes(tmp_path: Path) -> None:
    source = catalogue(tmp_path, 'msgid "Cart"\nmsgstr "Pedido"\n')
    target = source.with_suffix(".mo")
    assert compile_catalogue(source) == []
    with target.open("rb") as file:
        assert gettext.GNUTranslations(file).gettext("Cart") == "Pedido"
    target.write_bytes(b"untouched")
    assert compile_catalogue(source) == []
    assert target.read_bytes() == b"untouched"
    os.utime(source, (2**31, 2**31))
    assert compile_catalogue(source) == []
    assert target.read_bytes() != b"untouched"


def test_a_placeholder_that_the_original_lacks_is_reported_with_its_line(tmp_path: Path) -> None:
    source = catalogue(tmp_path, '#, python-format\nmsgid "%(count)s left"\nmsgstr "quedan %(cuenta)s"\n')
    (fault,) = compile_catalogue(source)
    assert fault.startswith(f"{source}:5: ")
    assert not source.with_suffix(".mo").exists()


def test_all_catalogues_of_the_parts_are_found() -> None:
    found = catalogues(REPOSITORY)
    assert REPOSITORY / "shop" / "locale" / "es" / "LC_MESSAGES" / "django.po" in found
    assert REPOSITORY / "platform" / "core" / "locale" / "es" / "LC_MESSAGES" / "django.po" in found


def test_static_files_are_collected_again_only_when_they_changed(tmp_path: Path) -> None:
    assert static_files_changed(tmp_path)
    remember_static_files(tmp_path)
    assert not static_files_changed(tmp_path)
    assert REPOSITORY / "platform" / "core" / "static" / "core" / "comanda.css" in static_files()


def test_a_missing_program_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(system_packages, "PACKAGES", (ABSENT,))
    monkeypatch.setattr(system_packages, "can_install", lambda: False)
    assert system_packages.main() == 1
    sentence = "no-such-browser is missing, for the tests of the pages. Install it, on Debian: sudo apt-get install no-such-browser\n"
    assert capsys.readouterr().err == sentence


def test_what_is_there_is_not_installed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    present = SystemPackage(programs=("no-such-shell", "sh"), debian=("dash",), purpose="this test")
    monkeypatch.setattr(system_packages, "PACKAGES", (present,))
    monkeypatch.setattr(system_packages, "install", pytest.fail)
    assert system_packages.main() == 0


def test_what_can_be_done_without_is_installed_apart_and_never_missed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[list[str]] = []
    quicker = replace(ABSENT, debian=("quicker",), needed=False)
    monkeypatch.setattr(system_packages, "can_install", lambda: True)
    monkeypatch.setattr(system_packages, "install", lambda names: asked.append(list(names)))
    monkeypatch.setattr(system_packages, "PACKAGES", (quicker, ABSENT))
    assert system_packages.main() == 1
    assert asked == [["no-such-browser"], ["quicker"]]
    assert "quicker" not in capsys.readouterr().err
    monkeypatch.setattr(system_packages, "PACKAGES", (quicker,))
    assert system_packages.main() == 0


def test_apt_is_told_in_one_go_without_questions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    called = tmp_path / "called"
    program = tmp_path / "apt-get"
    program.write_text(f'#!/bin/sh\necho "$DEBIAN_FRONTEND $*" >> {called}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    system_packages.install(["chromium", "pgbouncer"])
    assert called.read_text().splitlines() == [
        "noninteractive -qq -o Dpkg::Use-Pty=0 update",
        "noninteractive -qq -o Dpkg::Use-Pty=0 install --yes --no-install-recommends chromium pgbouncer",
    ]
