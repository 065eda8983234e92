"""`python -m network_atlas` is `atlas`."""

import sys

from network_atlas.cli.main import main

sys.exit(main())
