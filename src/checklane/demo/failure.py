"""What a demo that cannot go on says: one line and an exit code, never a stack trace."""

from checklane.errors import ChecklaneError


class DemoError(ChecklaneError):
    """The demo cannot go on.

    Parameters
    ----------
    message : str
        What is wrong and what to do.
    """

    def __init__(self, message: str) -> None:
        super().__init__("DEMO_FAILED", message)
