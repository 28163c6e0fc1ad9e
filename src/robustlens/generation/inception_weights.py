"""Where the Inception weights of FID and IS come from. Imports nothing: the workflow asks here before it starts."""

PATH = "results/weights/pt_inception-2015-12-05-6726825d.pth"
URL = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
BYTES = 95_628_359


def remedy(path: object) -> str:
    """What a user does who has no such file."""
    return f"download {URL} ({BYTES:,} bytes, SHA-256 {SHA256}) to {path}"
