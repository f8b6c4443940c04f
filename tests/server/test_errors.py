"""Every refusal is translated once, there and back."""

import re

import grpc
import pytest

from checklane import errors
from checklane._layout import STATUSES
from checklane.v1 import decision_pb2

CODES = {code.value[0] for code in grpc.StatusCode}


def test_the_table_has_every_status_and_no_other():
    assert list(errors.REFUSALS) == [name for name in STATUSES if name != "OK"]
    assert set(errors._STATUS_ROWS) == set(errors.REFUSALS)


def test_codes_are_those_of_the_class():
    for name, refusal in errors.REFUSALS.items():
        assert refusal.grpc_code in CODES, name
        by_code = errors._CLASS_OF_CODE.get(refusal.grpc_code)
        if by_code is errors.BusyError:
            by_code = errors.CeilingError
        if name == "DECISION_CHANGED":
            by_code = errors.DecisionChangedError
        assert issubclass(refusal.error_class, by_code or errors.InternalError), name


def test_the_docstring_draws_the_tree():
    drawn = set(re.findall(r"\b(\w+Error)\b", errors.__doc__))
    classes = {
        found
        for found in vars(errors).values()
        if isinstance(found, type) and issubclass(found, errors.ChecklaneError)
    }
    assert drawn == {found.__name__ for found in classes}
    line = re.compile(
        r"(\w+Error)\s+([A-Z_]+|never)[A-Z_, ]*(?: on the wire)?\s+(\d+)$", re.MULTILINE
    )
    for name, code, exit_code in line.findall(errors.__doc__):
        assert getattr(errors, name).exit_code == int(exit_code), name
        assert code == "never" or code in grpc.StatusCode.__members__


@pytest.mark.parametrize("name", errors.REFUSALS)
@pytest.mark.parametrize("place", ["", "basket.lines[3].count"])
def test_a_refusal_survives_the_wire(name, place):
    sent = errors.refuse(name, place)
    found = errors.from_rpc_status(errors.to_rpc_status(sent))
    assert type(found) is type(sent)
    assert (found.reason, found.place, found.grpc_code) == (name, place, sent.grpc_code)
    assert str(found) == str(sent)
    assert found.exit_code == sent.exit_code


def test_a_message_says_what_where_and_what_to_do():
    error = errors.from_status(24, "basket.lines[3].count")
    assert str(error) == (
        "the count of a line is out of range at basket.lines[3].count: send a count from 1 to"
        " 1000000"
    )


def test_changed_figures_travel_with_the_refusal():
    error = errors.refuse("DECISION_CHANGED")
    assert isinstance(error, errors.DecisionChangedError)
    error.changed = decision_pb2.FiguresChanged(figures=decision_pb2.Figures(due_minor=-5))
    found = errors.from_rpc_status(errors.to_rpc_status(error))
    assert isinstance(found, errors.DecisionChangedError)
    assert found.changed == error.changed


def test_a_status_of_a_later_engine_is_our_fault():
    error = errors.from_status(9999, "here")
    assert isinstance(error, errors.InternalError)
    assert error.reason == "STATUS_9999"


def test_a_refusal_of_a_later_service_keeps_its_name_and_code():
    status = errors.to_rpc_status(errors.refuse("STORE_UNKNOWN"))
    status.details[0].value = status.details[0].value.replace(b"STORE_UNKNOWN", b"STORE_UNKNOWX")
    found = errors.from_rpc_status(status)
    assert type(found) is errors.NotFoundError
    assert found.reason == "STORE_UNKNOWX"
