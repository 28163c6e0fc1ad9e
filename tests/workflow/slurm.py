"""Snakemake with profiles/slurm on a SLURM of the tests' own (cluster.py)."""

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from cluster import Cluster
from flow import TINY, Outcome, edit

PROFILE = "profiles/slurm/profile.yaml"
# So that tests need not wait for the plugin to look; a user's jobs take hours.
OFTEN = (
    "--slurm-init-seconds-before-status-checks",
    "1",
    "--seconds-between-status-checks",
    "1",
    "--latency-wait",
    "10",
)


def fill_in_profile(folder: Path, account: str = "science", partition: str = "main") -> Path:
    """What docs/slurm.md asks a user for. Returns `folder`, a checkout."""
    edit(folder / PROFILE, '# - slurm_account="..."', f'- slurm_account="{account}"')
    edit(folder / PROFILE, '# - slurm_partition="..."', f'- slurm_partition="{partition}"')
    return folder


def command(arguments: Sequence[str], overlay: Path | None = None) -> list[str]:
    """What a user types. overlay: a configuration file that is merged over tests/tiny.yaml."""
    snakemake = [sys.executable, "-m", "snakemake", *TINY, *([str(overlay)] if overlay else [])]
    return [*snakemake, "--workflow-profile", "profiles/slurm", *OFTEN, *arguments]


def submit_driver(cluster: Cluster, folder: Path, *arguments: str, overlay: Path | None = None) -> str:
    """The same command as a job of the cluster; its number."""
    typed = shlex.join(command(arguments, overlay))
    where = ("--mem=1000", f"--chdir={folder}", f"--output={folder}/driver.txt")
    return cluster("sbatch", "--parsable", *where, "--wrap", typed).stdout.strip()


class Driver:
    """`snakemake --workflow-profile profiles/slurm <arguments>` in a checkout, its output in a file."""

    def __init__(self, cluster: Cluster, folder: Path, *arguments: str, overlay: Path | None = None):
        self.file = folder / "driver.txt"
        with open(self.file, "w") as output:
            self.process = subprocess.Popen(
                command(arguments, overlay),
                cwd=folder,
                env=cluster.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self.file.read_text()

    def wait(self) -> Outcome:
        return Outcome(self.process.wait(), self.output)
