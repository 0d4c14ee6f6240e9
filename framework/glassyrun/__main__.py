"""`python -m glassyrun` is `glassyrun`."""

import sys

from glassyrun.cli import main

if __name__ == "__main__":
    sys.exit(main())
