"""Fetch and verify the archives of a dataset, or of weights, and write a receipt.

The receipt is the declared output; the archives are not, because Snakemake deletes outputs before a job starts, and
would delete a download that can be resumed, or what a user has put there by hand.
"""

import json
from pathlib import Path

import robustlens.quick_start  # noqa: F401
from robustlens.atomic import replacing
from robustlens.console import job, parser
from robustlens.data.download import count_images, fetch, receipt

arguments = parser(__doc__)
arguments.add_argument("--folder", required=True, type=Path, help="folder of the archives")
arguments.add_argument("--receipt", required=True, type=Path, help="JSON file to write: what is there, and from where")
args = arguments.parse_args()
spec = args.spec

with job(f"download {args.folder.name}", args.log):
    record = {"archives": [], "folder": None}
    for archive in spec.get("archives", []):
        fetch(archive, args.folder)
        record["archives"].append(receipt(archive, args.folder))
    if folder := spec.get("folder"):
        counts = count_images(args.folder / folder["name"], folder["layout"], folder["train"])
        record["folder"] = {"name": folder["name"]} | counts
    with replacing(args.receipt) as path:
        path.write_text(json.dumps(record, indent=2) + "\n")
