"""robustlens: the library behind the workflow. It knows nothing of Snakemake, and importing it costs nothing."""
