"""Methods: one file each, with one frozen dataclass whose fields are its parameters, a `Method` of
`robustlens.learning.method` with `loss` and the hooks that it needs (docs/methods.md). `sat` is a short example."""
