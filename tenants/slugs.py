"""The slug: a cafeteria's address under the platform's domain. Taken for ever, so that no link leads to somebody else."""

import re
import unicodedata
from collections.abc import Iterator
from itertools import count

from tenants.errors import InvalidSlug, SlugReserved
from tenants.models import Cafeteria

SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])")
LONGEST_DERIVED = 50  # room for a suffix
NAMELESS = "cafeteria"  # for a name without a single letter or digit that an address can hold
RESERVED = frozenset(
    """
    about account accounts admin administrator api app apps assets auth autodiscover backup backups beta billing blog cdn comanda
    console dashboard db dev developer developers docs download downloads email events files ftp git grafana health help home host
    imap internal legal live login logs mail media mercadopago metrics monitor mx news ns ns1 ns2 ops pay payment payments platform pop
    postmaster press pricing privacy prometheus public register root sandbox secure security sentry shop signin signup site smtp sso
    staging static stats status store support system terms test vpn webhook webhooks webmail webmaster wiki www www1 www2
    """.split()  # noqa: SIM905 - one string reads better than a hundred
)


def check_slug(slug: str) -> None:
    """InvalidSlug for what cannot be an address, SlugReserved for one that the platform keeps."""
    if not SLUG.fullmatch(slug) or slug[2:4] == "--":  # xn-- and its like mean other letters than they show
        raise InvalidSlug
    if slug in RESERVED:
        raise SlugReserved(slug=slug)


def derive_slug(name: str) -> str:
    """Lowercase ASCII, accents folded: "Café Ñandú" gives "cafe-nandu". Not necessarily free."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain.replace("'", "")).strip("-")[:LONGEST_DERIVED].strip("-")
    slug = re.sub(r"-{2,}", "-", slug)
    return slug if len(slug) > 1 else f"{NAMELESS}-{slug}".strip("-")


def free_slugs(name: str) -> Iterator[str]:
    """The derived slug, then with suffixes from 2 on: those that are free now. Somebody may be quicker."""
    base = derive_slug(name)
    taken = set(Cafeteria.objects.filter(slug__startswith=base).values_list("slug", flat=True))
    if base not in taken and base not in RESERVED:
        yield base
    yield from (slug for number in count(2) if (slug := f"{base}-{number}") not in taken)
