"""An engine that misbehaves on demand: `python fake_engine.py MODE AVATAR_FOLDER`. Standard library only."""

import json
import os
import shutil
import signal
import sys
import threading
import time

MODE, AVATAR = sys.argv[1], sys.argv[2]
_lock = threading.Lock()
_cancel = threading.Event()


def send(**message):
    with _lock:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def progress(job, fraction, **more):
    event = {
        "stage": "body",
        "stages": ["read", "body", "write"],
        "fraction": fraction,
        "remaining_s": 65.0,
        "message": "m",
    }
    send(method="progress", params={"job": job, **event, "preview": None, **more})


def fit(out, params):
    """A fit of the pose that was sent, one arm turned; what was asked for stands beside it."""
    with open(params["body"]) as stream:
        data = json.load(stream)
    data["pose"][16] = [0.3, 0.2, -0.4]
    data |= {"rest_joints": [[0.0, 1.0, 0.0]] * len(data["pose"]), "confidence": {"head": 0.9, "left_arm": 0.8}}
    os.makedirs(out)
    for name, content in (("fit.json", data), ("asked.json", params)):
        with open(os.path.join(out, name), "w") as stream:
            json.dump(content, stream)


def run(job, out, params):
    steps = 20_000 if MODE == "flood" else 5
    for step in range(steps):
        if _cancel.is_set() and MODE != "stubborn":
            cancelled = {"code": "job.cancelled", "message": "The job was cancelled.", "hint": ""}
            return send(method="failed", params={"job": job, **cancelled})
        progress(job, step / steps)
        if MODE in ("cancellable", "stubborn", "mute"):
            time.sleep(0.05 if MODE == "cancellable" else 60)
        if MODE == "killed" and step == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        if MODE == "crash" and step == 2:
            os._exit(70)
        if MODE == "garbage_later" and step == 2:
            sys.stdout.write("Segmentation fault\n")
            sys.stdout.flush()
    if MODE == "cancellable":
        return run(job, out, params)
    if MODE == "wrong_types":
        progress(job, "half", stages="none", stage=None, remaining_s="soon", preview=7, message=["x"])
        send(method="news", params=[1, 2])
        send(id="x", result=3)
        progress("another job", 0.9)
    if MODE == "job_fails":
        sentence = {
            "code": "capture.empty_mask",
            "message": "mask.png: selects nothing.",
            "hint": "Choose another mask.",
        }
        return send(method="failed", params={"job": job, **sentence})
    if out.endswith(".fit"):
        fit(out, params)
        return send(method="done", params={"job": job, "fit": out})
    if MODE != "lies":
        shutil.copytree(AVATAR, out)
    return send(method="done", params={"job": job, "avatar": out})


def handle(message):
    method, params, number = message["method"], message["params"], message["id"]
    if method == "hello":
        if MODE == "deaf":
            time.sleep(600)
        if MODE == "refuses":
            data = {"code": "engine.protocol", "message": "Too old.", "hint": "Update."}
            return send(id=number, error={"code": -32000, "message": "Too old.", "data": data})
        protocol = {"old": 0, "newer": 2}.get(MODE, 1)
        return send(id=number, result={"protocol": protocol, "engine": "9.9", "devices": ["cpu"], "memory_gb": 8.0})
    if method == "inspect":
        if MODE == "inspect_fails":
            data = {"code": "capture.no_person", "message": "x.png: nobody can be found.", "hint": "Choose another."}
            return send(id=number, error={"code": -32000, "message": "nobody", "data": data})
        facts = {"kind": "rgbd", "width": 640, "height": 480, "stature_m": 1.76, "people": 1}
        return send(
            id=number,
            result={
                **facts,
                "warnings": ["Feet are cut off."],
                "estimate": {"seconds": 65.0, "memory_gb": 1.2},
                "params": params,
            },
        )
    if method in ("reconstruct", "elicit", "fit"):
        _cancel.clear()
        send(id=number, result={"job": "job-1"})
        threading.Thread(target=run, args=("job-1", params["out"], params), daemon=True).start()
        return None
    if method == "cancel":
        _cancel.set()
        return send(id=number, result={})
    return send(id=number, error={"code": -32601, "message": f"no method {method}"})


if MODE == "dead":
    sys.exit("ModuleNotFoundError: No module named 'torch'")
if MODE == "garbage":
    sys.stdout.write("Welcome to the engine!\n")
    sys.stdout.flush()
if MODE == "long_line":
    sys.stdout.write("x" * (2 << 20) + "\n")
    sys.stdout.flush()
if MODE == "ignores_eof":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
for line in sys.stdin:
    handle(json.loads(line))
if MODE == "ignores_eof":
    time.sleep(600)
