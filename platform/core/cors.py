from typing import Any

from corsheaders.middleware import CorsMiddleware
from django.http import HttpRequest
from django.utils.cache import patch_vary_headers


class LeanCorsMiddleware(CorsMiddleware):
    """django-cors-headers, asked only about requests that name an origin: the others are most, and need no more than `Vary`."""

    def __call__(self, request: HttpRequest) -> Any:
        if "HTTP_ORIGIN" in request.META:
            return super().__call__(request)
        response: Any = self.get_response(request)
        if request.path_info.startswith("/api/"):
            patch_vary_headers(response, ("origin",))
        return response
