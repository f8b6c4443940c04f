"""Tables of snapshot files: what the builders of snapshots and the program compiler share.

Nothing here knows feeds or offers. A snapshot is a set of named tables in one LMDB file whose name
carries the hash of their content; a table is a head and records of one dtype, dense or
open-addressed.
"""
