"""The /auth operations, the same on both kinds of host: a router from a realm, a registration and who may be registered as what."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse
from django.utils import translation
from ninja import Form, Router, Status
from ninja.errors import ValidationError
from ninja.params import functions
from pydantic import AfterValidator, Field

from core.doors import Bearer, anyone, caller_of
from core.errors import BadRequest
from core.http import Schema, errors, text
from core.identity import actions
from core.identity.emails import normalise_email
from core.identity.errors import InvalidEmail, WeakPassword
from core.identity.realm import Realm
from core.identity.second_factor import LONGEST_CODE
from core.passwords import LONGEST
from core.throttle import client_address

type RealmOf = Callable[[HttpRequest], Realm]


def _email(value: str) -> str:
    try:
        return normalise_email(value)
    except InvalidEmail as error:
        raise ValueError(str(error)) from None


Email = Annotated[str, Field(max_length=254, json_schema_extra={"format": "email"}), AfterValidator(_email)]
Password = Annotated[str, Field(min_length=8, max_length=LONGEST)]
Token = Annotated[str, Field(min_length=1, max_length=2_000)]


class RegisterIn(Schema):
    email: Email
    password: Password
    full_name: text(least=1, most=120)  # type: ignore[valid-type]


class AccountOut(Schema):
    id: int
    email: str
    full_name: str
    role: str


class TokensOut(Schema):
    access_token: str
    refresh_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - no password
    expires_in: int


class RefreshIn(Schema):
    refresh_token: Token


class LogoutIn(Schema):
    refresh_token: Token | None = None


LOGOUT_BODY = {"requestBody": {"required": False, "content": {"application/json": {"schema": LogoutIn.model_json_schema()}}}}


def register_account(realm: Realm, request: HttpRequest, body: RegisterIn, **details: Any) -> Status[Any]:
    """201 with the new account. A password against the rules is 422 in ninja's shape, like any other bad field."""
    address = client_address(request)
    try:
        with translation.override("en"):  # as every sentence of the API
            account = actions.register(
                realm, email=body.email, password=body.password, full_name=body.full_name, address=address, **details
            )
    except WeakPassword as error:
        raise bad_field("password", error.messages) from None
    return Status(201, account)


def bad_field(name: str, messages: list[str]) -> ValidationError:
    """As if the schema had refused the field."""
    return ValidationError([{"type": "value_error", "loc": ["body", "body", name], "msg": message} for message in messages])


def add_sign_in_operations(router: Router, realm_of: RealmOf, signed_in: Bearer) -> None:
    @router.post("/auth/login", auth=anyone, response={200: TokensOut, **errors(400, 401, 413, 422, 429)})
    def login(
        request: HttpRequest,
        username: Form[Annotated[str, Field(min_length=1, max_length=254)]],
        password: Form[Annotated[str, Field(min_length=1, max_length=1_000)]],
        code: str = functions.Form("", max_length=LONGEST_CODE),
    ) -> Any:
        """Signs in with an e-mail address and a password, as a form. Unknown address and wrong password are one answer.

        Where two-step verification is on, `code` is that of the app, or a recovery code: without it the answer is 401
        `second_factor_required`, with a wrong or used one 401 `wrong_code`.
        """
        realm, address = realm_of(request), client_address(request)
        return actions.sign_in(realm, email=username, password=password, code=code.strip(), address=address).tokens()

    @router.post("/auth/refresh", auth=anyone, response={200: TokensOut, **errors(400, 401, 413, 422)})
    def refresh(request: HttpRequest, body: RefreshIn) -> Any:
        """The next pair of tokens. A refresh token works once: used again, it ends its session."""
        return actions.refresh(realm_of(request), token=body.refresh_token).tokens()

    @router.post("/auth/logout", auth=anyone, response={204: None, **errors(400, 401, 413, 422)}, openapi_extra=LOGOUT_BODY)
    def logout(request: HttpRequest) -> Any:
        """Ends the session of the refresh token in the body, or else of the access token in the header."""
        token = _token_in_body(request)
        if token is not None:
            actions.sign_out_by_token(realm_of(request), token=token)
        else:
            actions.sign_out(realm_of(request), session_id=signed_in(request).session_id)
        return HttpResponse(status=204)

    @router.get("/auth/me", auth=signed_in, response={200: AccountOut, **errors(401)})
    def me(request: HttpRequest) -> Any:
        """Whose token this is."""
        return caller_of(request)


def _token_in_body(request: HttpRequest) -> str | None:
    """The optional body of a logout. ninja would refuse a request without one."""
    if not (request.content_type or "").startswith("application/json") or not request.body.strip():
        return None
    try:
        return LogoutIn.model_validate_json(request.body).refresh_token
    except ValueError:
        raise BadRequest(reason='the body is not {"refresh_token": "..."}.') from None
