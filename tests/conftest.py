"""One thread for every test and every process that a test starts: fast on small tensors, the same sums everywhere."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
