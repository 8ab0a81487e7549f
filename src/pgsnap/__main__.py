"""`python -m pgsnap` is `snap`."""

from __future__ import annotations

import sys

from pgsnap.cli import main

sys.exit(main())
