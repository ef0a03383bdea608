from core.errors import AppError


class ChannelFailed(AppError):
    """The channel {channel} does not take the message: {why}."""

    code = "channel_failed"
    status = 503
