"""Evaluate one run under every attack of a suite, per test image; existing evaluations are used again."""

import json
from pathlib import Path

import robustlens.quick_start  # noqa: F401
from robustlens.atomic import replacing
from robustlens.console import job, parser
from robustlens.evaluation.kept import asked_for
from robustlens.evaluation.suite import evaluate_suite, facts, index
from robustlens.provenance import Certificate

arguments = parser(__doc__)
arguments.add_argument("--data", required=True, type=Path, help="folder of the prepared dataset")
arguments.add_argument("--weights", required=True, type=Path, nargs="+", help="safetensors files of checkpoints")
arguments.add_argument("--state", required=True, type=Path, help="folder for what is done while the rest is not")
arguments.add_argument("--folder", required=True, type=Path, help="folder of all evaluations of this run and threat")
arguments.add_argument("--index", required=True, type=Path, help="JSON file to write in that folder")
arguments.add_argument("--certificate", required=True, type=Path)
arguments.add_argument("--save-every", type=float, default=60.0, help="seconds")
arguments.add_argument("--threads", type=int, default=1)
args = arguments.parse_args()
spec = args.spec

with job(
    f"evaluate {spec['dataset']}/{spec['recipe']}/seed{spec['seed']} {spec['suite']} {spec['threat']['name']}", args.log
):
    certificate = Certificate(spec, [args.data / "sheet.json", *args.weights])
    evaluations = asked_for(spec, args.data, args.weights, args.folder, args.certificate.parent)
    records = evaluate_suite(evaluations, certificate, args.data, args.state, args.threads, args.save_every)
    with replacing(args.index) as path:
        path.write_text(json.dumps(index(spec, evaluations, records, args.folder), indent=2) + "\n")
    certificate.write(args.certificate, [args.index], **facts(records))
