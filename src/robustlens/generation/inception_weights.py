"""Where the Inception weights of FID and IS come from. Imports nothing: the workflow asks here before it starts."""

ARCHIVE = {
    "file": "pt_inception-2015-12-05-6726825d.pth",
    "bytes": 95_628_359,
    "sha256": "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    "urls": [
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    ],
}
PATH = f"results/downloads/inception/{ARCHIVE['file']}"
