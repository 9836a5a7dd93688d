"""The machines of a test: notes what it is asked, and does it, or not.

usage: machines.py STATE [STOWPLAN AGENT-FLAGS..]   Without a program, nothing runs on its machines.

In STATE a test says what goes wrong: `half` has every other worker fail, `late` says how many seconds an add takes, an
add waits as long as `hold` is there, and `cpu` is what machines turn out to have. `calls` and `machines` tell the test.
"""
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

STATE, AGENT = Path(sys.argv[1]), sys.argv[2:]
MACHINES = STATE / "machines"


def said(name):
    try:
        return (STATE / name).read_text()
    except FileNotFoundError:
        return None


def note(name, line):
    """One line more in a file; answers how many it had."""
    with open(STATE / name, "a+") as notes:
        fcntl.flock(notes, fcntl.LOCK_EX)
        notes.seek(0)
        before = len(notes.readlines())
        notes.write(line + "\n")
    return before


def start(worker, call):
    template = worker["worker"]
    cpu = said("cpu") or f"{template['cpu_milli']}m"
    flags = [f"--id={worker['id']}", f"--server={call['server']}", f"--pool={call['pool']}", f"--cpu={cpu}",
             f"--memory={template['memory_mib']}Mi", f"--executor={template['runtime']}",
             f"--data={STATE}/agents/{worker['id']}"]
    with open(STATE / "log", "ab") as log:
        agent = subprocess.Popen([AGENT[0], "agent", *flags, *AGENT[1:]], stdin=subprocess.DEVNULL, stdout=log,
                                 stderr=log, start_new_session=True)
    return str(agent.pid)


def add(worker, call):
    machine = MACHINES / worker["id"]
    if machine.exists():
        return {"outcome": "coming"}
    if said("half") is not None and note("asked", worker["id"]) % 2 == 0:
        return {"outcome": "failed", "why": "sold out"}
    machine.write_text(start(worker, call) if AGENT else "")
    note("made", worker["id"])
    return {"outcome": "coming"}


def remove(worker, _):
    machine = MACHINES / worker["id"]
    if machine.exists() and machine.read_text():
        try:
            os.kill(int(machine.read_text()), signal.SIGKILL)
        except ProcessLookupError:
            pass
    machine.unlink(missing_ok=True)
    return {"outcome": "gone"}


def main():
    call = json.load(sys.stdin)
    workers = call.get("workers", [])
    if call["call"] != "list":
        note("calls", json.dumps({"call": call["call"], "ids": [worker["id"] for worker in workers]}))
    if call["call"] == "add":
        time.sleep(float(said("late") or 0))
        while said("hold") is not None:
            time.sleep(0.01)
    MACHINES.mkdir(exist_ok=True)
    with open(STATE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if call["call"] == "list":
            answer = {"workers": [path.name for path in MACHINES.iterdir()]}
        else:
            act = {"add": add, "remove": remove}[call["call"]]
            answer = {"outcomes": [{"id": worker["id"], **act(worker, call)} for worker in workers]}
    json.dump(answer, sys.stdout)


main()
