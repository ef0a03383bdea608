from django.db import transaction

from accounts.models import User, UserSession
from core.identity.realm import Realm
from core.tokens import PLATFORM

platform_realm = Realm(
    kind="user", accounts=User, sessions=UserSession, space=PLATFORM, scope=transaction.atomic, audience=lambda: PLATFORM
)
