"""Published sample sets: generated images that others have published. One file per layout.

    opened(settings, folder, shape, classes) -> a set
        settings: what the configuration's `sample_set` says of the layout and the names of the files. folder: where the
        files are. shape: (C, H, W) of the dataset's images. classes: the names of its classes, by their numbers.
        Raises RobustlensError for all that can be seen without looking at images: it is to be called first of all.

    set.path: the file or folder of the images
    set.labels: int64 (N,), from 0 to len(classes) - 1
    set.images(chosen) -> Iterator[(int, uint8 (k, C, H, W))]
        chosen: int64 (n,), ascending positions. Each block is of the images at chosen[first : first + k], where `first`
        comes with it; every chosen image comes once, and only a block is in memory.

`importing` chooses images of such a set and writes them as a pool.
"""
