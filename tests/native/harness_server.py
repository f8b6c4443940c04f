"""Runs in a process of its own: answers pickled lists of decisions with the harness just built."""

import pickle
import sys


def main() -> None:
    """Serve until the pipe closes. The first argument is the folder of the built package."""
    sys.path.insert(0, sys.argv[1])
    from checklane import decide_harness

    while True:
        try:
            calls = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        answers = [decide_harness.decide(*call) for call in calls]
        pickle.dump(answers, sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
