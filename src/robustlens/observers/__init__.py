"""Extra statistics of a training: one file each, with one frozen dataclass whose fields are its parameters, an
`Observer` of `robustlens.learning.observer` with `of_step` or `of_epoch`, or both. `feature_distance` is a short
example."""
