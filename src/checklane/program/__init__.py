"""Offers as people write them: read, checked, and compiled to the tables that the engine walks.

A program is a directory with ``program.yaml`` (money, purses, tiers, segments, channels, policies)
and ``offers/*.yaml`` (lists of offers), with CSV files beside them. :func:`load_vocabulary` reads
the names alone, :func:`check_path` collects every problem, :func:`compile_program` gives the tables
of a program snapshot, and :func:`compile_within` the same of a program that the lanes can bear.
"""

from checklane.program.compile import Compiled, compile_loaded, compile_program
from checklane.program.load import LoadedProgram, load_program
from checklane.program.model import Offer, Program
from checklane.program.problems import Problem, ProgramError, Severity
from checklane.program.report import CheckReport, check_path, compile_within
from checklane.program.schema import export_schema
from checklane.program.vocabulary import Vocabulary, load_vocabulary

__all__ = [
    "CheckReport",
    "Compiled",
    "LoadedProgram",
    "Offer",
    "Problem",
    "Program",
    "ProgramError",
    "Severity",
    "Vocabulary",
    "check_path",
    "compile_loaded",
    "compile_program",
    "compile_within",
    "export_schema",
    "load_program",
    "load_vocabulary",
]
