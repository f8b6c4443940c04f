"""What every test shares: bounded, repeatable random tests that leave nothing behind."""

from hypothesis import settings

# The machine is shared and slow at times: examples are counted, never timed. A failing example is
# printed with what it takes to run it again.
settings.register_profile("house", database=None, deadline=None, derandomize=True, print_blob=True)
settings.load_profile("house")
