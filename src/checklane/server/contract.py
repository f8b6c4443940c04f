"""The services and methods of the contract, read from its descriptors: never listed twice."""

from collections.abc import Mapping
from types import MappingProxyType

from google.protobuf.descriptor import ServiceDescriptor

from checklane.v1 import checkout_pb2, ledger_pb2, member_pb2, program_pb2

__all__ = ["FEATURES", "LANE_METHODS", "PACKAGE", "SERVICES", "SERVICE_NAMES"]

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

#: What a caller of a method that is not served yet asked for, in words.
FEATURES: Mapping[str, str] = MappingProxyType(
    {
        "AuthorizeFuel": "fuel discounts before fuelling",
        "ClaimTransaction": "attaching a member to a receipt afterwards",
        "EraseMember": "erasing a member",
        "ListEntries": "the entries of a member",
        "ListOffers": "listing the offers of the live program",
        "UploadTransactions": "late and offline work",
    }
)
