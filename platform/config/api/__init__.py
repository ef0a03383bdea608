"""The two APIs: the platform's on the base domain, and a cafeteria's on its own host."""

from ninja import NinjaAPI

from core.http import handle_errors
from core.rendering import FastRenderer


def _new_api(title: str, namespace: str) -> NinjaAPI:
    api = NinjaAPI(title=title, version="1", urls_namespace=namespace, docs_url=None, renderer=FastRenderer())
    handle_errors(api)
    return api


platform_api = _new_api("Comanda: the platform", "platform-api")
cafeteria_api = _new_api("Comanda: a cafeteria", "cafeteria-api")
