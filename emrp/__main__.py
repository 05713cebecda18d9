"""Where `emrp` begins: Ctrl-C is no traceback while the imports, which take a second, are still under way."""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Import the command line and run it."""
    try:
        from emrp.cli import main as run  # noqa: PLC0415 - so that an interrupt of the import is caught

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
