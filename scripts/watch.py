"""Show how a run goes, with the curves of its trainings, as a page on this machine that refreshes itself."""

import argparse
import contextlib
import sys
from pathlib import Path

from robustlens.watch.page import Server
from robustlens.watch.standing import Watched, scales


def port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r}: not a port, which is a number from 1 to 65535")
    return int(text)


arguments = argparse.ArgumentParser(description=__doc__)
arguments.add_argument("--scale", help="by default the one that ran last")
arguments.add_argument("--port", type=port, default=0, help="by default one that is free")
args = arguments.parse_args()
with contextlib.suppress(KeyboardInterrupt):
    known = scales(Path())
    if not known:
        sys.exit("nothing has run yet: start `make reproduce`, and in another terminal `make watch`")
    scale = args.scale or known[0]
    if scale not in known:
        sys.exit(f"nothing has run at scale {scale} yet: results/ has logs of {', '.join(known)}")
    try:
        server = Server(Watched(Path(), scale), args.port)
    except OSError as error:
        sys.exit(f"port {args.port} can't be had ({error.strerror}): give another one, as in make watch PORT=8765")
    with server:
        print(f"Scale {scale}: http://127.0.0.1:{server.server_port}/ (Ctrl-C ends this, and not the run)", flush=True)
        server.serve_forever()
