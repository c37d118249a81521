"""A contestant's process: `python -m bench.work MODULE` works until SIGTERM, `... MODULE COUNT` times single sagas of its own.

The modules are imported and not run themselves, as in a real deployment; some libraries mind.
"""

import importlib
import json
import sys


def main() -> None:
    """Call the module's `work()`, or print what its `singles(count)` returns: milliseconds, as JSON."""
    module = importlib.import_module(sys.argv[1])
    if len(sys.argv) > 2:
        print(json.dumps(module.singles(int(sys.argv[2]))))
    else:
        module.work()


if __name__ == "__main__":
    main()
