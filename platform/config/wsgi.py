"""The WSGI application, for granian: `granian --interface wsgi config.wsgi:application`."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.wsgi import WSGIHandler
from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


def ready_application() -> WSGIHandler:
    """The application with its pages and API loaded, so that the first visitor does not wait for them."""
    from django.conf import settings  # noqa: PLC0415  After the environment above.

    handler = get_wsgi_application()
    for urls in (settings.PUBLIC_URLCONF, settings.ROOT_URLCONF):
        get_resolver(urls).url_patterns  # noqa: B018  Loading is the purpose.
    return handler


try:
    application = ready_application()
except ImproperlyConfigured as error:
    sys.exit(f"Comanda cannot start: {error}")
