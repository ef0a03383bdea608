from django.db import transaction

from accounts.models import User, UserSession
from accounts.second_factor import codes
from core.identity.realm import Realm
from core.identity.second_factor import SecondFactor
from core.tokens import PLATFORM

platform_realm = Realm(
    kind="user",
    accounts=User,
    sessions=UserSession,
    space=PLATFORM,
    scope=transaction.atomic,
    audience=lambda: PLATFORM,
    second_factor=SecondFactor(is_on=codes.is_on, use_code=codes.use_code),
)
