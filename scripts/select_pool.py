"""A share of the images of each class of a pool: those that look most real to a discriminator, or any."""

import hashlib
import json
from pathlib import Path

import robustlens.quick_start  # noqa: F401
from robustlens import arithmetic
from robustlens.console import Progress, job, parser, stop_on_signals
from robustlens.data.pool import FILES, load_pool
from robustlens.data.prepared import load
from robustlens.device import use_device
from robustlens.discrimination.pool_scores import score
from robustlens.discrimination.selection import any_share, most_real
from robustlens.generators.selected import TABLE, write_selected, write_table
from robustlens.models.weights import build
from robustlens.parameters import create
from robustlens.provenance import Certificate
from robustlens.training.state import RunState

arguments = parser(__doc__)
arguments.add_argument("--data", required=True, type=Path, help="folder of the prepared dataset")
arguments.add_argument("--pool", required=True, type=Path, nargs="+", help="images and labels to select from")
arguments.add_argument("--state", required=True, type=Path, help="folder that holds the training states")
arguments.add_argument("--folder", required=True, type=Path, help="folder of the selected pool")
arguments.add_argument("--certificate", required=True, type=Path)
arguments.add_argument("--threads", type=int, default=1)
args = arguments.parse_args()
spec = args.spec
name = f"{spec['dataset']}/{spec['generator']}"

with job(f"pool {name}", args.log), use_device(args.threads, arithmetic.of(spec)) as device:
    certificate = Certificate(spec, [args.data / "sheet.json", *args.pool])
    signals = stop_on_signals()
    data = load(args.data, ["train", "validation"])
    pool = load_pool(args.pool[0].parent, data)
    scores, found = None, {}
    if "discriminator" in spec:
        threads = args.threads if device.type == "cpu" else None
        facts = json.dumps([spec, device.type, threads, certificate.inputs], sort_keys=True)
        progress = Progress("discriminator", 1)
        digest = hashlib.sha256(facts.encode()).hexdigest()[:16]
        with RunState(args.state / f"selection-{name.replace('/', '-')}-{digest}", digest) as state:
            scores, accuracy = score(
                create("discrimination", "discriminator", spec["discriminator"]),
                data,
                pool,
                lambda: build(spec["architecture"], data.channels, 2).to(device),
                spec["seed"],
                device,
                state,
                lambda: bool(signals),
                lambda done, _, facts: progress(done, "  ".join(f"{key} {value:.3g}" for key, value in facts.items())),
            )
        found = {"accuracy": accuracy}
        print(f"the discriminator is right about {accuracy:.1%} of moved images, where 50 % is chance")
        kept = most_real(scores, pool.labels, spec["share"])
    else:
        kept = any_share(pool.labels, spec["share"], spec["seed"])
    write_selected(args.folder, pool, kept, Progress("image", len(kept)))
    write_table(args.folder / TABLE, pool, kept, scores)
    certificate.write(args.certificate, [args.folder / name for name in (*FILES, TABLE)], **found)
    print(f"{len(kept)} of {len(pool.labels)} images are kept")
