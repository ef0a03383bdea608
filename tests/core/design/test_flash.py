from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.http import HttpRequest

from core.flash import AT_MOST, Flash, flash, take_flashes


def request_with_session() -> HttpRequest:
    request = HttpRequest()
    request.session = SessionStore()
    return request


def test_a_sentence_is_shown_once() -> None:
    request = request_with_session()
    flash(request, "Agregado.", "good")
    assert take_flashes(request) == [Flash(text="Agregado.", kind="good")]
    assert take_flashes(request) == []


def test_the_newest_are_kept_when_there_are_too_many_for_a_cookie() -> None:
    request = request_with_session()
    for number in range(AT_MOST + 2):
        flash(request, str(number))
    assert [message.text for message in take_flashes(request)] == [str(number) for number in range(2, AT_MOST + 2)]


def test_looking_does_not_change_the_session() -> None:
    request = request_with_session()
    assert take_flashes(request) == []
    assert request.session.modified is False


def test_a_request_without_a_session_says_nothing() -> None:
    request = HttpRequest()
    flash(request, "Agregado.")
    assert take_flashes(request) == []
