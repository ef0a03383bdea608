"""A cafeteria opens whole or not at all."""

from django.db import connection

from tenants.actions import open_cafeteria
from tenants.provisioning.template import current_template, verify_template
from tenants.queries import ref_for
from tenants.scope import tenant_scope


def test_smoke(db: None) -> None:
    cafeteria = open_cafeteria(owner_id=1, name="Café Ñandú")
    assert cafeteria.slug == "cafe-nandu"
    with tenant_scope(ref_for(cafeteria)), connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM shop_product")
        assert cursor.fetchone() == (0,)
    verify_template(current_template())
    print("\n".join(current_template().statements))
