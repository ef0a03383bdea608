from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.models import User
from core import passwords
from core.audit.models import AuditEntry

pytestmark = pytest.mark.django_db


def test_it_makes_an_admin_with_a_password_shown_once() -> None:
    out = StringIO()
    call_command("create_admin", "Jefa@Example.test", "--generate", stdout=out)
    user = User.objects.get(email="jefa@example.test")
    password = out.getvalue().strip().rpartition(" ")[2]
    assert user.role == "admin"
    assert passwords.matches(password, user.password)
    assert AuditEntry.objects.get(action="admin.created").data == {}


def test_a_taken_or_wrong_address_is_said() -> None:
    call_command("create_admin", "jefa@example.test", "--generate", stdout=StringIO())
    for email, words in (("jefa@example.test", "already an account"), ("x", "not an e-mail")):
        with pytest.raises(CommandError, match=words):
            call_command("create_admin", email, "--generate", stdout=StringIO())
