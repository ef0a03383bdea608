from core.errors import AppError


class DemoNotAllowed(AppError):
    """The demo is for development only: everybody knows its passwords. Open a real cafeteria instead."""

    code = "demo_not_allowed"
    status = 403
