"""The names of a program and their numbers: what feeds and reports need of it."""

from dataclasses import dataclass
from pathlib import Path

from checklane.program.load import load_program_file


@dataclass(frozen=True)
class Vocabulary:
    """Names and stable numbers.

    Attributes
    ----------
    program : str
        Id of the program.
    version : int
    currency : str
        ISO 4217 letters.
    exponent : int
        Decimals of the currency.
    tiers, segments, channels, purses : dict of str to int
        Numbers by id.
    purse_decimals : dict of str to int
        Decimals of the points of each purse.
    """

    program: str
    version: int
    currency: str
    exponent: int
    tiers: dict[str, int]
    segments: dict[str, int]
    channels: dict[str, int]
    purses: dict[str, int]
    purse_decimals: dict[str, int]


def load_vocabulary(path: Path) -> Vocabulary:
    """Read the names of a program.

    Parameters
    ----------
    path : Path
        The program's directory; only ``program.yaml`` is read.

    Returns
    -------
    Vocabulary

    Raises
    ------
    ProgramError
        The file has a problem.
    """
    program = load_program_file(path)
    return Vocabulary(
        program=program.program,
        version=program.version,
        currency=program.currency.code,
        exponent=program.currency.exponent,
        tiers={name: tier.number for name, tier in program.tiers.items()},
        segments={name: segment.number for name, segment in program.segments.items()},
        channels={name: channel.number for name, channel in program.channels.items()},
        purses={name: purse.number for name, purse in program.purses.items()},
        purse_decimals={name: purse.decimals for name, purse in program.purses.items()},
    )
