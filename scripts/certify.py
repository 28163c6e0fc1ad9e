"""Certify test images of one run by randomised smoothing: all of them, or one job's share."""

from pathlib import Path

import robustlens.quick_start  # noqa: F401
from robustlens import arithmetic
from robustlens.atomic import replacing
from robustlens.certification.run import blocks, certify, evenly_spread, shard
from robustlens.console import job, parser
from robustlens.data.prepared import load
from robustlens.device import use_device
from robustlens.evaluation.finished import FinishedBatches, evaluation_digest
from robustlens.evaluation.kept import turn
from robustlens.models.inference import InferenceModel
from robustlens.models.weights import load_model
from robustlens.parameters import create
from robustlens.provenance import Certificate

arguments = parser(__doc__)
arguments.add_argument("--data", required=True, type=Path, help="folder of the prepared dataset")
arguments.add_argument("--weights", required=True, type=Path, help="safetensors file of the checkpoint")
arguments.add_argument("--state", required=True, type=Path, help="folder for what is done while the rest is not")
arguments.add_argument("--table", required=True, type=Path, help="Parquet file to write, one row per image")
arguments.add_argument("--certificate", required=True, type=Path)
arguments.add_argument("--save-every", type=float, default=60.0, help="seconds")
arguments.add_argument("--threads", type=int, default=1)
args = arguments.parse_args()
spec = args.spec

with (
    job(f"certify {spec['dataset']}/{spec['recipe']}/seed{spec['seed']} {args.table.stem}", args.log),
    use_device(args.threads, arithmetic.of(spec)) as device,
):
    certificate = Certificate(spec, [args.data / "sheet.json", args.weights])
    data = load(args.data, ["test"], spec.get("crop"))
    model = InferenceModel(load_model(args.weights, spec["architecture"], data.channels, data.classes)).to(device)
    split, own = data.splits["test"], spec["certification"]
    smoothing = create("certification", own["family"], own["parameters"])
    of_all = blocks(evenly_spread(len(split.labels), spec["images"]), smoothing, spec["batch_size"])
    of_job = shard(of_all, spec["shard"], spec["shards"])
    digest = evaluation_digest(spec, data, certificate.inputs[str(args.weights)], device)
    key = "_".join((spec["dataset"], spec["recipe"], f"seed{spec['seed']}", args.table.stem))
    with turn(args.state / f"{key}.lock", args.table.stem):
        finished = FinishedBatches(args.state / f"{key}.{digest}.blocks", [], args.save_every)
        settings = smoothing, data.classes, spec["seed"], spec["batch_size"], device
        table = certify(model, split, of_job, *settings, finished)
        with replacing(args.table) as path:
            table.to_parquet(path, index=False)
        certificate.write(args.certificate, [args.table], devices=finished.devices)
        finished.remove()
