"""``python -m podspace`` is the ``podspace`` command."""

from __future__ import annotations

import sys

from podspace.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
