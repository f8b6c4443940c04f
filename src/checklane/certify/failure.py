"""What ends a run that can not go on."""

__all__ = ["CertifyError"]


class CertifyError(Exception):
    """A run can not go on; the message says why and what to do."""
