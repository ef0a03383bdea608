from core.errors import AppError, NotFound


class NoTenantScope(RuntimeError):
    """A cafeteria's data was asked for outside its scope."""


class CrossedTenantScope(RuntimeError):
    """Something that belongs to one cafeteria was used in another scope."""


class StaleTenant(Exception):
    """The cafeteria has changed since this reference to it was made: look it up again."""


class CafeteriaNotFound(NotFound):
    """There is no cafeteria here."""

    code = "cafeteria_not_found"


class NoSuchCafeteria(NotFound):
    """There is no cafeteria "{slug}"."""

    code = "cafeteria_not_found"


class CafeteriaSuspended(AppError):
    """This cafeteria is paused for the moment. Please try again later."""

    code = "cafeteria_suspended"
    status = 503


class CafeteriaFenced(AppError):
    """This cafeteria is being restored and is back in a few seconds. Please try again."""

    code = "cafeteria_restoring"
    status = 503

    def __init__(self) -> None:
        super().__init__()
        self.headers = {"Retry-After": "3"}


class SlugTaken(AppError):
    """The address "{slug}" is taken. Choose another one."""

    code = "slug_taken"
    status = 409


class SlugReserved(AppError):
    """The address "{slug}" is reserved. Choose another one."""

    code = "slug_reserved"
    status = 409


class InvalidDomain(AppError):
    """The address "{domain}" is no domain that a site can have. Write it like www.example.com, without https:// and without a path."""

    code = "invalid_domain"
    status = 422


class DomainReserved(AppError):
    """The domain "{domain}" is the platform's own. Choose one of your own."""

    code = "domain_reserved"
    status = 409


class DomainTaken(AppError):
    """The domain "{domain}" belongs to another cafeteria."""

    code = "domain_taken"
    status = 409


class TooManyDomains(AppError):
    """A cafeteria can have {most} domains of its own. Remove one first."""

    code = "too_many_domains"
    status = 409


class NoSuchDomain(NotFound):
    """This cafeteria has no domain "{domain}"."""

    code = "domain_not_found"


class CopyStaysApart(AppError):
    """This is a copy of a cafeteria: it takes no money online."""

    code = "copy_stays_apart"
    status = 409


class InvalidLifecycle(AppError):
    """A cafeteria that is {status} cannot be {wanted}."""

    code = "invalid_lifecycle"
    status = 409


class InvalidSlug(AppError):
    """An address has 2 to 63 letters (a to z), digits and hyphens, and begins and ends with a letter or digit."""

    code = "invalid_slug"
    status = 422


class InvalidDetails(AppError):
    """The {field} "{value}" is not valid."""

    code = "invalid_details"
    status = 422


class CurrencyInUse(AppError):
    """The currency cannot change any more: there are orders in it."""

    code = "currency_in_use"
    status = 409


class UnsuitableMigration(AppError):
    """The migration {name} cannot run in the schemas of the cafeterias: {reason}."""

    code = "unsuitable_migration"
    status = 500


class TemplateDiffers(AppError):
    """The template does not make what the migrations make. Teach tenants/provisioning/script.py about it. {problems}"""

    code = "template_differs"
    status = 500


class FleetBusy(AppError):
    """Another fleet migration has been at work for {seconds} seconds. Look at `manage.py fleet_status`, then try again."""

    code = "fleet_busy"
    status = 503
