"""Evaluate a run, or the runs of several seeds, under every attack of a suite, per test image; existing evaluations are
used again."""

import json
from pathlib import Path

import robustlens.quick_start  # noqa: F401
from robustlens.atomic import replacing
from robustlens.console import job, parser
from robustlens.evaluation.kept import asked_for, of_each_seed
from robustlens.evaluation.shards import read
from robustlens.evaluation.suite import evaluate_suite, facts, index
from robustlens.provenance import Certificate

arguments = parser(__doc__)
arguments.add_argument("--data", required=True, type=Path, help="folder of the prepared dataset")
arguments.add_argument(
    "--weights", required=True, type=Path, nargs="+", help="safetensors files of checkpoints, those of a seed together"
)
arguments.add_argument(
    "--shards", type=Path, nargs="*", default=[], help="what jobs made that share an attack's images"
)
arguments.add_argument("--state", required=True, type=Path, help="folder for what is done while the rest is not")
arguments.add_argument(
    "--index", required=True, type=Path, nargs="+", help="JSON file to write among a run's evaluations, for each seed"
)
arguments.add_argument("--certificate", required=True, type=Path, nargs="+", help="of each of these files")
arguments.add_argument("--save-every", type=float, default=60.0, help="seconds")
arguments.add_argument("--threads", type=int, default=1)
args = arguments.parse_args()
spec = args.spec
seeds = f"seeds-{'-'.join(map(str, spec['seeds']))}" if "seeds" in spec else f"seed{spec['seed']}"

with job(f"evaluate {spec['dataset']}/{spec['recipe']}/{seeds} {spec['suite']} {spec['threat']['name']}", args.log):
    sheet = args.data / "sheet.json"
    certificate = Certificate(spec, [sheet, *args.weights, *args.shards])
    of_seeds = zip(of_each_seed(spec, args.weights, args.shards), args.index, args.certificate, strict=True)
    parts = [
        (own, inputs, file, own_certificate, asked_for(own, args.data, inputs, file.parent, own_certificate.parent))
        for (own, inputs), file, own_certificate in of_seeds
    ]
    evaluations = [evaluation for *_, asked in parts for evaluation in asked]
    settings = certificate, args.data, args.state, args.threads, args.save_every
    records = iter(evaluate_suite(evaluations, *settings, read(args.shards, evaluations, certificate)))
    for own, inputs, file, own_certificate, asked in parts:
        of_seed = [next(records) for _ in asked]
        with replacing(file) as path:
            path.write_text(json.dumps(index(own, asked, of_seed, file.parent), indent=2) + "\n")
        certificate.part(own, [sheet, *inputs]).write(own_certificate, [file], **facts(of_seed))
