"""``podspace signal``: a signal to a container's process, without a shell in it and without looking for its PID."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from podspace.cli import client, failure, flags, kubeconfig, lens, look
from podspace.kube.json import JSON

USAGE = """
Send a signal to a container's main process, or to another one of its processes by name or PID. Neither a shell in the image nor any
capability is needed. /pause is spared unless --even-pause is given.

  podspace signal POD [-c CONTAINER] SIGNAL [--process NAME|PID] [-o json|yaml|wide]

Examples:
  podspace signal nginx -c nginx HUP                        # reload
  podspace signal nginx -c nginx TERM --process 14          # one worker, by its PID in the Pod
  podspace signal web -c app USR1 --process gunicorn        # all of that name
"""
FLAGS = (
    flags.Flag("container", "c", takes="NAME", help="container (needed if there are several)"),
    flags.Flag("process", takes="NAME|PID", help="another process than the main one"),
    flags.Flag("even-pause", help="do it even to /pause, which ends every container"),
    lens.OUTPUT,
    *look.FLAGS,
    *flags.COMMON,
)
SAID = {
    "Delivered": "sent",
    "Ignored": "sent, and ignored: the process has no handler for it",
    "Blocked": "sent; it waits until the process unblocks it",
    "Gone": "not sent: the process was gone already",
}


def run(argv: Sequence[str]) -> int:
    options = flags.parse("signal", USAGE, FLAGS, argv)
    if len(options.args) != 2:
        raise failure.Usage("a Pod and a signal must be given", "signal")
    pod, name = options.args
    wanted = lens.form(options)
    spec: JSON = {"signal": name, "container": options.text("container"), "process": options.text("process")}
    spec |= {"evenPause": True} if options.on("even-pause") else {}
    with client.Client(kubeconfig.load(options)) as api:
        answer = look.choose(options, api).signal(pod, spec)
    reached = answer["status"]["processes"]
    sys.stdout.write(lens.structured(answer, wanted) if wanted in ("json", "yaml") else "".join(_line(name, entry) for entry in reached))
    return 0 if any(entry["outcome"] != "Gone" for entry in reached) else 1


def _line(name: str, entry: JSON) -> str:
    return f"{name} to {lens.show(entry['container'])} {entry['pid']} ({lens.show(entry['name'])}): {SAID[entry['outcome']]}\n"
