"""checklane decides promotions and loyalty at the till, and records them durably.

The package is the service around a compiled engine. What a lane uses is in
:mod:`checklane.client`; everything that an operator types is in :mod:`checklane.cli`.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
