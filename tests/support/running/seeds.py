"""The seed of all that is random in the tests.

SNAP_SEED sets it; the default is the same each time, 0 is another one each time (`make test-long`).
pytest's header shows it.
"""

from __future__ import annotations

import os
import random

SEED = int(os.environ.get("SNAP_SEED", "1")) or random.SystemRandom().randrange(1, 1_000_000)
# For the workers of xdist, which are started with this environment.
os.environ["SNAP_SEED"] = str(SEED)
