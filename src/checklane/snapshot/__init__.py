"""Snapshots from feeds: read, check, build, publish, list, activate and prune."""
