from core.errors import NotFound


class AlertNotFound(NotFound):
    """There is no such alert."""

    code = "alert_not_found"


class NoPreview(NotFound):
    """There is no such preview."""

    code = "no_preview"
