"""Attack a share of the test images of one checkpoint; the job that evaluates the run joins the shares."""

from pathlib import Path

import robustlens.quick_start  # noqa: F401
from robustlens.atomic import replacing
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
arguments.add_argument("--state", required=True, type=Path, help="folder for what is done while the rest is not")
arguments.add_argument("--batches", required=True, type=Path, help="Parquet file to write, with the finished batches")
arguments.add_argument("--certificate", required=True, type=Path)
arguments.add_argument("--save-every", type=float, default=60.0, help="seconds")
arguments.add_argument("--threads", type=int, default=1)
args = arguments.parse_args()
spec = args.spec
run = f"{spec['dataset']}/{spec['recipe']}/seed{spec['seed']}"
certificates = args.certificate.parents[5] / "evaluations" / run / spec["threat"]["name"]

with job(f"evaluate {run} {spec['threat']['name']} {args.batches.stem}", args.log):
    certificate = Certificate(spec, [args.data / "sheet.json", args.weights])
    (evaluation,) = asked_for(spec, args.data, [args.weights], args.evaluations, certificates)
    shard = spec["shard"], spec["shards"]
    table = attack_shard(evaluation, certificate, args.data, args.state, args.threads, shard, args.save_every)
    with replacing(args.batches) as path:
        table.to_parquet(path)
    certificate.write(args.certificate, [args.batches], **{key: table.attrs[key] for key in ("warnings", "devices")})
