"""A SLURM of one's own: one node that claims eight processors and two GPUs, with real daemons from Debian's packages.

It needs neither systemd nor cgroups, and uses folders and ports of its own: nothing of a SLURM that this machine may
belong to is touched, and nothing is left behind. The GPUs are device nodes that behave like /dev/null: SLURM hands them
out as it does real ones.
"""

import contextlib
import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

COMMANDS = ("sacct", "sacctmgr", "sbatch", "scancel", "scontrol", "sinfo", "squeue", "srun", "sshare")
DAEMONS = ("munged", "slurmctld", "slurmd")
WITH_ACCOUNTING = ("slurmdbd", "mariadbd", "mariadb-install-db")
MEGABYTES = 64_000  # claimed, not there

CONFIGURATION = """
ClusterName=robustlens
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SlurmctldPort={controller}
SlurmdPort={node}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
SlurmdParameters=config_overrides
ReturnToService=2
MinJobAge=3600
KillWait=5
JobRequeue=0
SchedulerParameters=sched_interval=2,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory={megabytes} Gres=gpu:2
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=INFINITE PriorityTier=10
{accounting}
"""
NO_ACCOUNTING = "AccountingStorageType=accounting_storage/none\nJobAcctGatherType=jobacct_gather/none"
ACCOUNTING = """
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoragePass={folder}/munge.socket
AccountingStorageEnforce=associations
JobAcctGatherType=jobacct_gather/linux
"""
DATABASE = """
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database}
StorageUser=slurm
StoragePass={password}
StorageLoc=slurm
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
"""


def missing(accounting: bool = False) -> str:
    """Why no such cluster can be started on this machine; empty where it can."""
    if os.geteuid() != 0:
        return "a SLURM with GPUs is started as root only (mknod)"
    programs = [*DAEMONS, *COMMANDS, *(WITH_ACCOUNTING if accounting else ())]
    absent = [name for name in programs if program(name) is None]
    return f"not installed: {', '.join(absent)} (Debian: slurm-wlm munge slurmdbd mariadb-server)" if absent else ""


def program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


class Cluster:
    """The daemons, from `start` to `stop`, and what one asks of them.

    folder: of this cluster alone; its path must be short (a socket is in it). accounting: with slurmdbd and MariaDB.
    """

    def __init__(self, folder: Path, accounting: bool = False):
        self.folder, self.accounting = folder, accounting
        self.host = socket.gethostname().partition(".")[0]
        self.daemons: list[subprocess.Popen] = []
        for name in ("bin", "state", "spool", "database"):
            (folder / name).mkdir(parents=True)
        self.environment = os.environ | {
            "PATH": f"{folder / 'bin'}:{os.environ.get('PATH', os.defpath)}",
            "SLURM_CONF": str(folder / "slurm.conf"),
        }

    def start(self) -> None:
        self._write_configuration()
        munge = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munged.pid", "log-file": "munged.log"}
        munge["seed-file"] = "munge.seed"
        files = [f"--{option}={self.folder / name}" for option, name in munge.items()]
        self._daemon("munged", "--foreground", "--force", *files)
        self.until(lambda: (self.folder / "munge.socket").exists(), "munged")
        if self.accounting:
            self._start_accounting()
        self._daemon("slurmctld", "-D")
        self.until(lambda: self("scontrol", "ping", check=False).returncode == 0, "slurmctld")
        self._daemon("slurmd", "-D", "-N", self.host)
        self.until(lambda: self.node_state() == "idle", "slurmd")

    def stop(self) -> None:
        """No job and no daemon stays."""
        try:
            if self.job_ids():
                self("scancel", *self.job_ids(), check=False)
                self.until(lambda: not self.job_ids(), "the end of all jobs")
        finally:
            for daemon in reversed(self.daemons):
                daemon.terminate()
                try:
                    daemon.wait(20)
                except subprocess.TimeoutExpired:
                    daemon.kill()
                    daemon.wait()

    def __call__(self, *command: str, check: bool = True) -> subprocess.CompletedProcess:
        """One of SLURM's commands."""
        return subprocess.run(
            command, env=self.environment, check=check, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def node_state(self) -> str:
        return self("sinfo", "-h", "-o", "%T", "-p", "main", check=False).stdout.strip()

    def job_ids(self) -> list[str]:
        """Of the jobs that wait or run."""
        answer = self("squeue", "-h", "-o", "%A", check=False)
        return answer.stdout.split() if answer.returncode == 0 else []

    def jobs(self) -> list[dict]:
        """All jobs that the controller remembers, as `scontrol show job` has them."""
        text = self("scontrol", "-o", "show", "job", check=False).stdout
        return [
            dict(word.split("=", 1) for word in line.split() if "=" in word)
            for line in text.splitlines()
            if line.startswith("JobId=")
        ]

    def _write_configuration(self) -> None:
        ports = free_ports(4)
        for number in range(2):
            os.mknod(self.folder / f"gpu{number}", 0o20666, os.makedev(1, 3))
        accounting = ACCOUNTING.format(port=ports[2], folder=self.folder) if self.accounting else NO_ACCOUNTING
        facts = {"host": self.host, "folder": self.folder, "megabytes": MEGABYTES}
        facts |= {"controller": ports[0], "node": ports[1], "accounting": accounting}
        (self.folder / "slurm.conf").write_text(CONFIGURATION.format(**facts))
        (self.folder / "gres.conf").write_text(f"Name=gpu File={self.folder}/gpu[0-1]\n")
        (self.folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        self.database_port, password = ports[3], secrets.token_hex(8)
        database = self.folder / "slurmdbd.conf"
        database.touch(mode=0o600)
        database.write_text(DATABASE.format(**facts, port=ports[2], database=ports[3], password=password))
        grants = self.folder / "grants.sql"
        grants.touch(mode=0o600)
        grants.write_text(f"GRANT ALL ON slurm.* TO slurm@localhost IDENTIFIED BY '{password}';\n")
        for name in COMMANDS:  # Snakemake removes SLURM_CONF from its jobs' environment, but not PATH
            command = self.folder / "bin" / name
            command.write_text(f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {program(name)} "$@"\n')
            command.chmod(0o755)

    def _start_accounting(self) -> None:
        data, at = self.folder / "database", f"--socket={self.folder}/database.socket"
        subprocess.run(
            [program("mariadb-install-db"), "--no-defaults", f"--datadir={data}", "--user=root", "--skip-test-db",
             "--auth-root-authentication-method=normal"],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        self._daemon(
            "mariadbd", "--no-defaults", f"--datadir={data}", "--user=root", at, "--bind-address=127.0.0.1",
            f"--port={self.database_port}", f"--pid-file={self.folder}/mariadbd.pid", "--innodb-buffer-pool-size=32M",
            f"--init-file={self.folder}/grants.sql",
        )  # fmt: skip
        self.until(lambda: listening(self.database_port), "mariadbd")
        self._daemon("slurmdbd", "-D")
        add = ("sacctmgr", "-i", "add")
        self.until(lambda: self(*add, "cluster", "robustlens", check=False).returncode == 0, "slurmdbd")
        self(*add, "account", "science", "cluster=robustlens")
        self(*add, "user", "root", "account=science", "cluster=robustlens")

    def _daemon(self, name: str, *arguments: str) -> None:
        with open(self.folder / f"{name}.output", "w") as output:
            self.daemons.append(
                subprocess.Popen(
                    [program(name), *arguments],
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=_end_with_parent,
                )
            )

    def until(self, condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                said = [path.read_text()[-2000:] for path in sorted(self.folder.glob("*.output"))]
                raise AssertionError(f"waited in vain for {what}\n" + "\n".join(said))
            time.sleep(0.2)


@contextlib.contextmanager
def running(folder: Path, accounting: bool = False) -> Iterator[Cluster]:
    """A cluster for the length of a block."""
    cluster = Cluster(folder, accounting)
    try:
        cluster.start()
        yield cluster
    finally:
        try:
            cluster.stop()
        finally:
            shutil.rmtree(folder)


def _end_with_parent() -> None:
    """A test session that is killed takes its daemons with it (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens to now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def listening(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0
