from core.errors import AppError


class HandoffInvalid(AppError):
    """This way in has expired or was used already. Start again from your cafeterias."""

    code = "handoff_invalid"
    status = 410


class SupportAccessRequired(AppError):
    """The owner has not given support access to this cafeteria."""

    code = "support_access_required"
    status = 403
