"""``python -m monoscan`` is the command ``monoscan``."""

import sys

from monoscan.cli.main import main

sys.exit(main())
