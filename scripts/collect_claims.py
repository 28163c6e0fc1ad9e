"""Put the claims of all studies together, one after another: .tex, .csv (with one header) and .html."""

import json
from pathlib import Path

from robustlens.atomic import replacing
from robustlens.console import job, parser
from robustlens.provenance import Certificate

FORMATS = ("tex", "csv", "html")

arguments = parser(__doc__)
for suffix in FORMATS:
    arguments.add_argument(f"--studies_{suffix}", required=True, type=Path, nargs="+", help="those of each study")
    arguments.add_argument(f"--{suffix}", required=True, type=Path, help="file to write")
arguments.add_argument("--certificate", required=True, type=Path)
args = arguments.parse_args()
spec = json.loads(args.spec)
studies = {suffix: getattr(args, f"studies_{suffix}") for suffix in FORMATS}
collected = {suffix: getattr(args, suffix) for suffix in FORMATS}

with job("claims", args.log):
    certificate = Certificate(spec, [path for paths in studies.values() for path in paths])
    texts = {suffix: [path.read_bytes() for path in paths] for suffix, paths in studies.items()}
    first, *others = texts["csv"]
    texts["csv"] = [first, *(text.split(b"\n", 1)[1] for text in others)]
    for suffix, path in collected.items():
        with replacing(path) as temporary:
            temporary.write_bytes(b"".join(texts[suffix]))
    certificate.write(args.certificate, list(collected.values()))
