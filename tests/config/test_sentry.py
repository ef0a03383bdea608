import subprocess
import sys

import pytest
import structlog
from django.core.exceptions import ImproperlyConfigured

from config.sentry import configure_sentry, scrubbed

CATCH = """
import sentry_sdk
from sentry_sdk.transport import Transport
from config.sentry import configure_sentry

configure_sentry(dsn="https://key@localhost/1", environment="production", release="7")

class Caught(Transport):
    def capture_envelope(self, envelope):
        event = envelope.get_event()
        print(event["environment"], event["release"], event["exception"]["values"][0]["value"])

sentry_sdk.get_client().transport = Caught()
sentry_sdk.capture_exception(ValueError("password=abcdefgh12345"))
"""


def test_without_an_address_it_is_not_even_loaded() -> None:
    configured = "from config.sentry import configure_sentry; configure_sentry(dsn='', environment='', release='')"
    code = f"import sys; {configured}; print('sentry_sdk' in sys.modules)"
    done = subprocess.run((sys.executable, "-c", code), check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"


def test_a_wrong_address_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="SENTRY_DSN is not the address"):
        configure_sentry(dsn="nonsense", environment="production", release="1")


def test_an_error_is_sent_with_its_release_and_without_secrets() -> None:
    done = subprocess.run((sys.executable, "-c", CATCH), check=True, capture_output=True, text=True)
    assert done.stdout == "production 7 password=[redacted]\n"


def test_an_event_bears_its_cafeteria_and_nobodys_data() -> None:
    with structlog.contextvars.bound_contextvars(cafeteria="la-espiga", request_id="r-1"):
        event = scrubbed(
            {
                "request": {
                    "method": "POST",
                    "url": "http://la-espiga.localhost/orders",
                    "query_string": "secret=abc",
                    "cookies": {"comanda": "abc"},
                    "data": {"phone": "11 2345"},
                    "headers": {"Host": "la-espiga.localhost", "Authorization": "Bearer abc", "Cookie": "comanda=abc"},
                },
                "user": {"ip_address": "10.0.0.1"},
                "tags": {"kept": "yes"},
            },
            {},
        )
    assert event == {
        "request": {"method": "POST", "url": "http://la-espiga.localhost/orders", "headers": {"Host": "la-espiga.localhost"}},
        "tags": {"kept": "yes", "cafeteria": "la-espiga", "request_id": "r-1"},
    }
