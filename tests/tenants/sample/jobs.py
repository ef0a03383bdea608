"""Jobs of cafeterias, for the tests."""

from django.db.models import F

from core.jobs import JobRun, Json
from shop.menu.models import Product
from tenants.job_scope import job_scope
from tenants.models import Cafeteria


def read_canary(run: JobRun, *, product_id: int) -> Json:
    with job_scope(run):
        return {"name": Product.objects.get(pk=product_id).name}


def raise_halfway(run: JobRun, *, product_id: int) -> None:
    with job_scope(run):
        Product.objects.filter(pk=product_id).update(name="half done")
        raise RuntimeError("midway")


def read_after_an_edit(run: JobRun, *, product_id: int) -> Json:
    read_canary(run, product_id=product_id)
    Cafeteria.objects.filter(pk=run.cafeteria.id).update(revision=F("revision") + 1)
    return read_canary(run, product_id=product_id)


def read_after_a_restore(run: JobRun, *, product_id: int) -> Json:
    Cafeteria.objects.filter(pk=run.cafeteria.id).update(generation=F("generation") + 1)
    return read_canary(run, product_id=product_id)
