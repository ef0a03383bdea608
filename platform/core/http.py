"""What every API door shares: schemas, error answers, and the scope around an operation."""

import json
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import wraps
from itertools import islice
from typing import Annotated, Any

import ninja
from django.conf import settings
from django.core.exceptions import RequestDataTooBig, TooManyFilesSent
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.module_loading import import_string
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from core.errors import AppError, MethodNotAllowed, TooLarge


def _without_nul(value: str) -> str:
    if "\x00" in value:
        raise ValueError("contains a NUL character")
    return value


type Text = Annotated[str, AfterValidator(_without_nul)]  # PostgreSQL stores no NUL


def text(*, least: int = 0, most: int) -> Any:
    """A string type: trimmed, bounded, without NUL."""
    return Annotated[str, StringConstraints(strip_whitespace=True, min_length=least, max_length=most), AfterValidator(_without_nul)]


class Schema(BaseModel):
    """The base of request bodies: unknown fields are ignored, as clients of later versions may send them.

    Plain pydantic: ninja's own base also reads Django objects, which a body never is, and costs as much again.
    """

    model_config = ConfigDict(extra="ignore", from_attributes=True)


MISSPELT = 0.8  # how alike two names are from which on one is taken for the other
LONGEST_NAME = 40  # of a field: what is longer resembles none
MOST_UNKNOWN = 50  # names that are looked at: a body of a hundred thousand would take seconds of the process


class Body(Schema):
    """A request body that refuses a misspelt field: `choises` would be an order without its choices.

    What resembles no field is ignored all the same, as clients send along what they were given.
    """

    @model_validator(mode="before")
    @classmethod
    def _no_misspelling(cls, given: Any) -> Any:
        if isinstance(given, dict):
            unknown = (name for one in given if (name := str(one)) not in cls.model_fields and len(name) <= LONGEST_NAME)
            for name in sorted(islice(unknown, MOST_UNKNOWN)):
                if meant := _resembled(name.lower(), cls.model_fields):
                    facts = {"unknown": name, "meant": meant}
                    raise PydanticCustomError("misspelt_field", "There is no field {unknown}. Is {meant} meant?", facts)
        return given


def _resembled(name: str, fields: Iterable[str]) -> str | None:
    """The field that has the same letters, or nearly the same."""
    swapped = (field for field in fields if sorted(field) == sorted(name))
    return next(swapped, None) or next(iter(get_close_matches(name, fields, n=1, cutoff=MISSPELT)), None)


class StrictBody(Schema):
    """A request body that moves money, or changes what cannot be changed back: a field that it does not know is refused by its name.

    A refund whose `amount` is misspelt would otherwise be one of everything.
    """

    model_config = ConfigDict(extra="forbid")


class ErrorOut(ninja.Schema):
    detail: str
    code: str


class ValidationOut(ninja.Schema):
    detail: list[dict[str, Any]]
    code: str


def errors(*statuses: int) -> dict[int, Any]:
    """The error answers of an operation, for its documentation; 422 is ninja's list or a sentence."""
    return {status: (ValidationOut | ErrorOut if status == 422 else ErrorOut) for status in statuses}


def json_error(error: AppError) -> JsonResponse:
    response = JsonResponse({"detail": str(error), "code": error.code}, status=error.status, headers=error.headers)
    if error.status == 401:
        response["WWW-Authenticate"] = "Bearer"
    return response


def handle_errors(api: NinjaAPI) -> None:
    """Our errors, ninja's and Django's, all in the contract's shape."""

    @api.exception_handler(AppError)
    def app_error(request: HttpRequest, error: AppError) -> HttpResponse:
        return json_error(error)

    @api.exception_handler(ValidationError)
    def invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
        # Through json.dumps' default: a rejected value may be anything.
        detail = json.loads(json.dumps(error.errors, default=str))
        return JsonResponse({"detail": detail, "code": "invalid"}, status=422)

    @api.exception_handler(HttpError)
    def http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
        code = {401: "not_signed_in", 403: "not_allowed", 404: "not_found", 429: "throttled"}.get(error.status_code, "bad_request")
        return JsonResponse({"detail": str(error), "code": code}, status=error.status_code)

    @api.exception_handler(RequestDataTooBig)
    @api.exception_handler(TooManyFilesSent)
    def too_large(request: HttpRequest, _error: Exception) -> HttpResponse:
        return json_error(TooLarge(limit=settings.DATA_UPLOAD_MAX_MEMORY_SIZE // 1024 // 1024))


def shape_not_allowed(request: HttpRequest, response: HttpResponseBase) -> None:
    """ninja's answer to a method that an address does not take, put into the contract's shape in place; OPTIONS is told what it takes."""
    assert isinstance(response, HttpResponse)
    if request.method == "OPTIONS":
        response.status_code, response.content = 204, b""
        del response["Content-Type"]
        return
    answer = json_error(MethodNotAllowed(method=request.method))
    response.content = answer.content
    response["Content-Type"] = answer["Content-Type"]


def scoped(operation: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A ninja decorator of mode "view": the operation, its authentication included, runs in the scope of the request's cafeteria.

    An answer of 400 or more rolls back: an error that ninja turns into an answer leaves nothing half done.
    """
    request_scope = import_string("tenants.scope.request_scope")

    @wraps(operation)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            with request_scope(request):
                response = operation(request, *args, **kwargs)
                if response.status_code >= 400:
                    transaction.set_rollback(True)
                return response
        except AppError as error:
            return json_error(error)

    return wrapper
