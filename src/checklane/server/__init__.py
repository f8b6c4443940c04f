"""The management port: every service of the contract over grpcio, and the life of the process."""

from checklane.server.lifecycle import Service, run

__all__ = ["Service", "run"]
