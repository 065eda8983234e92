"""`python -m network_atlas` is `atlas`."""

import sys

from network_atlas.search_path import put_working_folder_last

put_working_folder_last()  # before any library is imported

from network_atlas.cli.main import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
