"""Compiles programs in a process of their own: a big one must not take the lanes' interpreter.

The process is spawned, never forked: a fork would copy the engine's locks in whatever state its
threads hold them.
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from checklane import _layout
from checklane.config import Settings
from checklane.program.checks import check_program
from checklane.program.compile import Compiled, array_of, compile_loaded
from checklane.program.cost import Cost
from checklane.program.load import load_program
from checklane.program.problems import Problem, ProgramError, Severity
from checklane.program.report import analyse
from checklane.snapshot.store import snapshot_directory
from checklane.tables.catalogue_tables import open_catalogue
from checklane.tables.files import write_snapshot
from checklane.v1 import program_pb2

__all__ = ["Compiler"]


class Compiler:
    """Checks and compiles program folders. Any thread may call; each call has its own process.

    Parameters
    ----------
    settings : Settings
        Say what a program may cost that does not say so itself.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def check(self, folder: Path, catalogue: Path | None) -> program_pb2.CheckProgramResponse:
        """Say what is wrong with the files in a folder and what they cost.

        Parameters
        ----------
        folder : Path
        catalogue : Path or None
            The catalogue snapshot to check against; None checks the files by themselves.
        """
        return self._work(folder, catalogue, None)[0]

    def publish(
        self, folder: Path, catalogue: Path, data: Path
    ) -> tuple[program_pb2.CheckProgramResponse, Path | None]:
        """Compile the files in a folder into a snapshot of a data directory.

        Returns
        -------
        tuple
            What was found, and the snapshot's path; None when there are errors.
        """
        return self._work(folder, catalogue, data)

    def _work(
        self, folder: Path, catalogue: Path | None, data: Path | None
    ) -> tuple[program_pb2.CheckProgramResponse, Path | None]:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            content, path = pool.submit(work, folder, catalogue, data, self._settings).result()
        response = program_pb2.CheckProgramResponse()
        response.ParseFromString(content)
        return response, path


def work(
    folder: Path, catalogue: Path | None, data: Path | None, settings: Settings
) -> tuple[bytes, Path | None]:
    """Check a folder and, with a data directory, compile it; the spawned process's part.

    Returns
    -------
    tuple
        A CheckProgramResponse as bytes, because descriptors do not travel between processes, and
        the snapshot's path.
    """
    loaded = load_program(folder)
    tables = open_catalogue(catalogue) if catalogue is not None else None
    attachments = check_program(loaded, tables)
    response = program_pb2.CheckProgramResponse()
    path = None
    if not loaded.problems.has_errors and tables is not None:
        try:
            compiled = compile_loaded(loaded, attachments, tables)
        except ProgramError as failure:
            loaded.problems.found.extend(failure.problems)
        else:
            cost = analyse(loaded, compiled, tables, settings=settings).cost
            _fill_cost(response.cost, cost, compiled)
            if data is not None and not loaded.problems.has_errors:
                path = write_snapshot(snapshot_directory(data), "program", compiled.tables)
    response.publishable = not loaded.problems.has_errors
    for problem in loaded.problems:
        response.findings.append(_finding(problem))
    return response.SerializeToString(), path


def _fill_cost(message: program_pb2.ProgramCost, cost: Cost, compiled: Compiled) -> None:
    message.offer_count = cost.offers
    message.product_candidates_max = cost.product.at_most
    message.basket_candidates_max = min(cost.basket.at_most, _layout.CANDIDATES_MAX)
    message.snapshot_bytes = cost.table_bytes
    message.step_budget = cost.step_budget
    message.decision_us = cost.decision_us
    everything = len(array_of(compiled.tables["class_of_product"]))
    for name in cost.costliest:
        reach = compiled.reach[name]
        message.costly_offers.add(offer_id=name, product_count=everything if reach < 0 else reach)


def _finding(problem: Problem) -> program_pb2.Finding:
    is_error = problem.severity is Severity.ERROR
    return program_pb2.Finding(
        severity=(
            program_pb2.FINDING_SEVERITY_ERROR if is_error else program_pb2.FINDING_SEVERITY_WARNING
        ),
        path=problem.file,
        line=problem.line,
        column=problem.column,
        code="PROGRAM_ERROR" if is_error else "PROGRAM_WARNING",
        message=problem.what,
        remedy=problem.mend,
        offer_id=problem.offer,
    )
