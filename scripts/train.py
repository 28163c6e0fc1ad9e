"""Train one run (dataset, recipe, seed), or go on with it where it was stopped."""

import json
from pathlib import Path

from robustlens.atomic import replacing
from robustlens.console import Progress, job, parser, stop_on_signals
from robustlens.data.prepared import load
from robustlens.device import use_device
from robustlens.models.weights import save_weights
from robustlens.provenance import Certificate
from robustlens.training.loop import Training, run_digest, state_folder
from robustlens.training.state import RunState

arguments = parser(__doc__)
arguments.add_argument("--data", required=True, type=Path, help="folder of the prepared dataset")
arguments.add_argument("--state", required=True, type=Path, help="folder that holds the training states")
arguments.add_argument("--run", required=True, type=Path, help="folder of the finished run")
arguments.add_argument("--certificate", required=True, type=Path)
arguments.add_argument("--threads", type=int, default=1)
args = arguments.parse_args()
spec = json.loads(args.spec)

with job(f"train {spec['dataset']}/{spec['recipe']}/seed{spec['seed']}", args.log):
    certificate = Certificate(spec)
    signals = stop_on_signals()
    data = load(args.data)
    digest = run_digest(spec, data)
    progress = Progress("epoch", spec["training"]["epochs"])

    def report(epoch: int, _epochs: int, row: dict) -> None:
        progress(epoch, f"loss {row['train_loss']:.3f}  validation robust accuracy {row['robust_accuracy']:.3f}")

    with RunState(state_folder(args.state, spec, digest), digest) as state:
        run = Training(spec, data, state, use_device(args.threads), lambda: bool(signals), report).run()
        outputs = [args.run / name for name in ("best.safetensors", "last.safetensors")]
        save_weights(run.best, outputs[0])
        save_weights(run.last, outputs[1])
        for name in ("history", "energies", "timing"):
            outputs.append(args.run / f"{name}.parquet")
            with replacing(outputs[-1]) as path:
                getattr(run, name).to_parquet(path, index=False)
    certificate.write(args.certificate, [args.data / "sheet.json"], outputs, best_epoch=run.best_epoch, digest=digest)
