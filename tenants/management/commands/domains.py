from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import AppError
from tenants.actions import add_domain, remove_domain
from tenants.models import Domain
from tenants.queries import ref_by_slug
from tenants.routing import site_url


class Command(BaseCommand):
    help = "Shows the addresses of a cafeteria; --add and --remove change its own domains. The proxy gets a certificate at the first visit."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug")
        change = parser.add_mutually_exclusive_group()
        change.add_argument("--add", metavar="DOMAIN", help="its DNS record has to lead to the platform")
        change.add_argument("--remove", metavar="DOMAIN")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            ref = ref_by_slug(options["slug"])
            if options["add"]:
                add_domain(cafeteria_id=ref.id, domain=options["add"], label="manage.py domains")
            if options["remove"]:
                remove_domain(cafeteria_id=ref.id, domain=options["remove"], label="manage.py domains")
        except AppError as error:
            raise CommandError(f"{options['slug']}: {error}") from error
        self.stdout.write(site_url(ref.slug))
        for domain in Domain.objects.filter(tenant_id=ref.id).order_by("domain").values_list("domain", flat=True):
            self.stdout.write(f"https://{domain}")
