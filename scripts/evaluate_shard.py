"""Attack a share of the test images of one checkpoint; the job that evaluates the run joins the shares."""

from pathlib import Path

import robustlens.quick_start  # noqa: F401
from robustlens.console import job, parser
from robustlens.evaluation.kept import asked_for
from robustlens.evaluation.shards import attack_shard
from robustlens.provenance import Certificate

arguments = parser(__doc__)
arguments.add_argument("--data", required=True, type=Path, help="folder of the prepared dataset")
arguments.add_argument("--weights", required=True, type=Path, help="safetensors file of the checkpoint")
arguments.add_argument(
    "--evaluations", required=True, type=Path, help="folder of all evaluations of this run and threat"
)
arguments.add_argument("--certificates", required=True, type=Path, help="folder of their certificates")
arguments.add_argument("--state", required=True, type=Path, help="folder for what is done while the rest is not")
arguments.add_argument("--batches", required=True, type=Path, help="Parquet file to write, with the finished batches")
arguments.add_argument("--certificate", required=True, type=Path)
arguments.add_argument("--save-every", type=float, default=60.0, help="seconds")
arguments.add_argument("--threads", type=int, default=1)
args = arguments.parse_args()
spec = args.spec
((checkpoint, _),) = spec["checkpoints"]
run = f"{spec['dataset']}/{spec['recipe']}/seed{spec['seed']}"

with job(f"evaluate {run} {spec['threat']['name']} {checkpoint} {args.batches.stem}", args.log):
    certificate = Certificate(spec, [args.data / "sheet.json", args.weights])
    (evaluation,) = asked_for(spec, args.data, [args.weights], args.evaluations, args.certificates)
    shard = spec["shard"], spec["shards"]
    settings = args.data, args.state, args.threads, shard, args.save_every
    attack_shard(evaluation, certificate, *settings, args.batches, args.certificate)
