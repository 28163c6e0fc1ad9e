"""Datasets: one file per reader, with one frozen dataclass whose fields are its parameters.

    read(folder, scratch) -> Source
        folder: of the verified archives. scratch: for large arrays, deleted afterwards.

`mnist` is a short example. `catalogue` has an entry for each reader: where its archives are, their checksums and their
licence (docs/datasets.md). The other files download, verify, prepare and load.
"""
