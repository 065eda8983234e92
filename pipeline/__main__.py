"""`python -m pipeline` is `atlas`."""

import sys

from pipeline.cli import main

sys.exit(main())
