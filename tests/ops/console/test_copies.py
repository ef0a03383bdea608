"""A copy that nothing closes by itself is seen, and is given an end."""

import re
from datetime import timedelta

from django.utils import timezone

from tenants.models import Cafeteria
from tests.ops.console.desk import Desk
from tests.ops.console.test_pages import kept_backup


def test_a_copy_of_before_copies_had_an_end_says_so_and_is_given_one(desk: Desk) -> None:
    shop = Cafeteria.objects.get(pk=desk.place.ref.id)
    listed = "/console/cafeterias?copies=endless"
    assert "Copies without an end" not in desk.read("/console/cafeterias")
    assert "Every copy has an end." in desk.read(listed)
    Cafeteria.objects.filter(pk=shop.pk).update(copy_of=desk.world.b.ref.uuid, closes_at=None)
    assert "Copies without an end (1)" in desk.read("/console/cafeterias")
    page = desk.read(listed)
    assert (f">{shop.name}<" in page, f">{Cafeteria.objects.get(pk=desk.world.b.ref.id).name}<" in page) == (True, False)
    assert ("no end" in page, "Stays until somebody closes it" in page, "Let it end in 30 days" in page) == (True, True, True)
    assert ("no end" in desk.read(desk.base), "Let it end in 30 days" in desk.read(desk.base)) == (True, True)
    assert desk.read(f"{listed}&q=nobody-has-this").count("No cafeteria like that") == 1
    back = desk.send(f"{desk.base}/keep", next=listed)
    assert back["Location"] == listed
    page = desk.read(listed)
    assert ("Every copy has an end." in page, "The copy stays for 30 days from now." in page) == (True, True)
    month = timezone.now() + timedelta(days=30)
    assert Cafeteria.objects.filter(pk=shop.pk, closes_at__range=(month - timedelta(hours=1), month)).exists()
    assert ("no end" in desk.read("/console/cafeterias"), "Keep it 30 days from now" in desk.read(desk.base)) == (False, True)
    Cafeteria.objects.filter(pk=shop.pk).update(closes_at=None, status="closed")
    assert ("no end" in desk.read("/console/cafeterias"), "Every copy has an end." in desk.read(listed)) == (False, True)


def test_a_copy_that_is_backed_up_has_its_end_in_the_list_too(desk: Desk) -> None:
    shop = Cafeteria.objects.get(pk=desk.place.ref.id)
    kept_backup(shop, ago=timedelta(hours=1))
    for closes_at, said in (
        (None, "Let it end in 30 days"),
        (timezone.now() + timedelta(days=9, hours=1), "Is closed by itself in 9 days"),
    ):
        Cafeteria.objects.filter(pk=shop.pk).update(copy_of=desk.world.b.ref.uuid, closes_at=closes_at)
        assert said in " ".join(re.sub(r"<[^>]+>", " ", desk.read("/console/cafeterias")).split())
