"""Measures the service on this machine: ``checklane bench``, and bench/ at the top of the tree."""
