"""A SLURM cluster of one node on this machine, with files, ports and a key of its own."""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"

CONFIG = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={controller_port}
SlurmdPort={node_port}
AuthType=auth/munge
AuthInfo=socket={root}/munge.socket
CredType=cred/munge
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
KillWait=5
InactiveLimit=0
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0,requeue_delay=1
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=tests Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str | None:
    """Why there can be no cluster here."""
    if absent := [name for name in (*DAEMONS, "sbatch") if shutil.which(name, path=PATH) is None]:
        return f"{', '.join(absent)} not installed (slurm-wlm, munge)"
    return None if os.geteuid() == 0 else "a node's daemon needs root"


@contextmanager
def cluster(root: Path) -> Iterator[Mapping[str, str]]:
    """Start a cluster whose files lie in `root`, a short path; yields the variables that its commands need."""
    root.mkdir(mode=0o755)
    for folder in ("state", "spool"):
        (root / folder).mkdir()
    key = root / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o600)
    config = root / "slurm.conf"
    controller_port, node_port = _ports(2)
    config.write_text(
        CONFIG.format(
            root=root,
            host=socket.gethostname().split(".")[0],
            user=getpass.getuser(),
            controller_port=controller_port,
            node_port=node_port,
        )
    )
    variables = {"SLURM_CONF": str(config), "PATH": PATH}
    munge = [f"--{name}={root}/munge.{name[:4]}" for name in ("pid-file", "log-file", "seed-file")]
    socket_, key_ = f"--socket={root}/munge.socket", f"--key-file={key}"
    started: list[subprocess.Popen[bytes]] = []
    try:
        started.append(_start(["munged", "--foreground", "--force", *munge, socket_, key_], root, variables))
        _until((root / "munge.socket").exists)
        started.append(_start(["slurmctld", "-D", "-i"], root, variables))
        started.append(_start(["slurmd", "-D", "-N", socket.gethostname().split(".")[0]], root, variables))
        _until(lambda: "idle" in _output(["sinfo", "--noheader", "--format=%t"], variables))
        yield variables
    finally:
        with suppress(subprocess.SubprocessError, OSError):
            _output(["scancel", "--user", getpass.getuser()], variables)
            _until(lambda: not _output(["squeue", "--noheader"], variables).strip(), 20)
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(15)
            process.kill()


def _start(command: Sequence[str], root: Path, variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
    with (root / f"{command[0]}.out").open("ab") as out:
        program = str(shutil.which(command[0], path=PATH))
        return subprocess.Popen(
            [program, *command[1:]], stdout=out, stderr=out, env={**os.environ, **variables}, start_new_session=True
        )


def _output(command: Sequence[str], variables: Mapping[str, str]) -> str:
    env = {**os.environ, **variables}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=20, check=False).stdout


def _until(holds: Callable[[], object], seconds: float = 40) -> None:
    limit = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > limit:
            raise TimeoutError("the cluster did not start")
        time.sleep(0.3)


def _ports(count: int) -> list[int]:
    """Ports that are free now."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
