from core.errors import AppError, NotFound


class OffsiteNotSetUp(AppError):
    """S3_BUCKET is not set, so there is nothing off-site."""

    code = "offsite_not_set_up"
    status = 409


class OffsiteUnavailable(AppError):
    """The off-site storage cannot be used now: {reason}"""

    code = "offsite_unavailable"
    status = 503

    def __init__(self, reason: str) -> None:
        super().__init__(reason=reason)


class OffsiteDamaged(AppError):
    """The off-site copy is not what was stored: {reason}"""

    code = "offsite_damaged"
    status = 409

    def __init__(self, reason: str) -> None:
        super().__init__(reason=reason)


class OffsiteNotFound(NotFound):
    """There is no such file off-site: {key}"""

    code = "offsite_not_found"

    def __init__(self, key: str) -> None:
        super().__init__(key=key)


class BadAddress(AppError):
    """This is not the address of a file in S3. Write it as s3://bucket/key."""

    code = "bad_s3_address"
    status = 422


class LocalCopyUnusable(AppError):
    """The local copy cannot be copied off-site: {reason}"""

    code = "local_copy_unusable"
    status = 409

    def __init__(self, reason: str) -> None:
        super().__init__(reason=reason)
