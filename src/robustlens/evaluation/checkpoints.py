"""Which checkpoints are a run's main one."""

BEST = ("best", "published")  # a third-party model has one checkpoint
