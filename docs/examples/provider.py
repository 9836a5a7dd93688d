#!/usr/bin/env python3
"""A provider of workers: each "machine" is an agent that this program starts on its own machine.

Replace start, stop and running by the calls of a cloud. STATE is where it remembers what it started; STOWPLAN is the
program whose agents those are. The protocol: docs/reference/provider.md.
"""
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

STATE = Path(os.environ.get("STATE", "provider-state")).absolute()
STOWPLAN = os.environ.get("STOWPLAN", "stowplan")


def started_at(pid):
    """When a process started, in ticks since the boot: with it, a pid is known from a later one. None if it is dead."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def running(worker):
    try:
        pid, ticks = (STATE / worker / "process").read_text().split()
    except (OSError, ValueError):
        return None
    return int(pid) if started_at(pid) == ticks else None


def start(worker, call):
    folder = STATE / worker["id"]
    folder.mkdir(parents=True, exist_ok=True)
    template = worker["worker"]
    flags = [f"--id={worker['id']}", f"--server={call['server']}", f"--pool={call['pool']}", f"--data={folder}/agent",
             f"--cpu={template['cpu_milli']}m", f"--memory={template['memory_mib']}Mi"]
    flags += [f"--label={name}={value}" for name, value in template.get("labels", {}).items()]
    with open(folder / "log", "ab") as log:
        agent = subprocess.Popen([STOWPLAN, "agent", *flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                 start_new_session=True)
    (folder / "process").write_text(f"{agent.pid} {started_at(agent.pid)}")


def stop(worker):
    pid = running(worker)
    if pid:
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 5
    while running(worker):
        if time.monotonic() > deadline:
            raise TimeoutError("it does not end")
        time.sleep(0.01)
    shutil.rmtree(STATE / worker, ignore_errors=True)


def add(worker, call):
    if not running(worker["id"]):
        start(worker, call)


def remove(worker, _):
    stop(worker["id"])


def each(call, act, good):
    """One outcome a worker: what fails hurts no other."""
    outcomes = []
    for worker in call["workers"]:
        try:
            act(worker, call)
            outcomes.append({"id": worker["id"], "outcome": good})
        except Exception as error:
            outcomes.append({"id": worker["id"], "outcome": "failed", "why": f"{error}"})
    return {"outcomes": outcomes}


def main():
    global STATE
    call = json.load(sys.stdin)
    if call["version"] != 1:
        sys.exit(f"version {call['version']} is not known here")
    # What another cell or pool has made is none of this one's.
    STATE = STATE / call["cell"] / call["pool"]
    STATE.mkdir(parents=True, exist_ok=True)
    # Two servers may ask at once: the second waits, and finds what the first has done.
    with open(STATE / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if call["call"] == "add":
            answer = each(call, add, "coming")
        elif call["call"] == "remove":
            answer = each(call, remove, "gone")
        elif call["call"] == "list":
            # One that has died is named too, until the server has it removed.
            answer = {"workers": [path.name for path in STATE.iterdir() if path.is_dir()]}
        else:
            sys.exit(f"call {call['call']} is not known here")
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
