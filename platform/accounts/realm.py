from collections.abc import Mapping

from django.db import transaction

from accounts.models import User, UserSession
from accounts.second_factor import codes
from core.identity.notices import ATTEMPTS
from core.identity.realm import Realm
from core.identity.second_factor import SecondFactor
from core.jobs import enqueue
from core.tokens import PLATFORM


def _enqueue_password_notice(account_id: int, about: Mapping[str, str]) -> None:
    enqueue("accounts.jobs.mail_password_notice", account_id=account_id, about=about, max_attempts=ATTEMPTS)


platform_realm = Realm(
    kind="user",
    accounts=User,
    sessions=UserSession,
    space=PLATFORM,
    scope=transaction.atomic,
    audience=lambda: PLATFORM,
    enqueue_password_notice=_enqueue_password_notice,
    second_factor=SecondFactor(is_on=codes.is_on, use_code=codes.use_code),
)
