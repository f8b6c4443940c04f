"""The services and methods of the contract, read from its descriptors: never listed twice."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from google.protobuf.descriptor import ServiceDescriptor

from checklane.v1 import checkout_pb2, ledger_pb2, member_pb2, program_pb2

__all__ = [
    "FEATURES",
    "LANE_METHODS",
    "PACKAGE",
    "SERVICES",
    "SERVICE_NAMES",
    "UPLOAD_METHODS",
    "UploadMethod",
]

PACKAGE = "checklane.v1"

_FILES = (checkout_pb2, member_pb2, program_pb2, ledger_pb2)

#: Every service by its short name, such as "CheckoutService".
SERVICES: Mapping[str, ServiceDescriptor] = MappingProxyType(
    {name: service for file in _FILES for name, service in file.DESCRIPTOR.services_by_name.items()}
)
SERVICE_NAMES = tuple(service.full_name for service in SERVICES.values())

#: For each body of a lane stream's request, by field number: its field and the method it is for.
LANE_METHODS: Mapping[int, tuple[str, str]] = MappingProxyType(
    {
        field.number: (field.name, "".join(word.capitalize() for word in field.name.split("_")))
        for field in checkout_pb2.StreamLaneRequest.DESCRIPTOR.oneofs_by_name["request"].fields
    }
)


class UploadMethod(NamedTuple):
    """What one kind of an upload's item is for.

    Attributes
    ----------
    field_name : str
        The name of its field, in the item and in the answer alike.
    answer_field : int
        The number of the answer's field.
    method : str
        The method of CheckoutService that the item's bytes are a request of.
    """

    field_name: str
    answer_field: int
    method: str


def _upload_methods() -> Mapping[int, UploadMethod]:
    answers = checkout_pb2.UploadTransactionsResponse.DESCRIPTOR.fields_by_name
    items = checkout_pb2.UploadTransactionsRequest.DESCRIPTOR.oneofs_by_name["item"].fields
    rows = {}
    for field in items:
        method = "".join(word.capitalize() for word in field.name.split("_"))
        # Only of a sale does it matter that it is late: the engine takes it as paid.
        if method == "CommitTransaction":
            method = "UploadTransactions"
        rows[field.number] = UploadMethod(field.name, answers[field.name].number, method)
    return MappingProxyType(rows)


#: For each kind of an upload's item, by field number.
UPLOAD_METHODS = _upload_methods()

#: What a caller of a method that is not served yet asked for, in words.
FEATURES: Mapping[str, str] = MappingProxyType(
    {
        "EraseMember": "erasing a member",
        "ListEntries": "the entries of a member",
        "ListOffers": "listing the offers of the live program",
    }
)
