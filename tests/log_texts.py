"""What stands in the logs of jobs."""

START = "2026-11-21 14:00:00 train digits/sat/seed0: started on node17, process 4242"
FAILED = "2026-11-21 14:00:02 FAILED: no space"
STEPS = """\
2026-11-21 14:00:05 epoch 1/50, ETA 0:04:58  loss 2.388  validation robust accuracy 0.100
2026-11-21 14:00:10 epoch 2/50, ETA 0:04:02  loss 2.279  validation robust accuracy 0.100"""
LAST_STEP = STEPS.splitlines()[1]
KILLED = "ended silently on node17: killed (out of memory, out of time) or cancelled; its log ends with: "
