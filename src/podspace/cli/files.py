"""``podspace files``: a container's files as its processes see them, with nothing needed in the image."""

from __future__ import annotations

import os
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from podspace.cli import client, copy, failure, flags, kubeconfig, lens, look, pods, tabs
from podspace.kube.json import JSON

USAGE = """
Look at a container's files as its processes see them, mounts included. The image needs no shell, no tar. Symlinks never lead out.

  podspace files POD [-c CONTAINER] ls|tree|cat|diff [PATH]
  podspace files POD [-c CONTAINER] cp PATH LOCAL

Examples:
  podspace files nginx -c nginx ls /etc/nginx
  podspace files nginx -c nginx cat /etc/nginx/nginx.conf
  podspace files nginx -c nginx cp /var/log/nginx ./logs
  podspace files nginx -c nginx tree /etc --depth 2
  podspace files nginx -c nginx diff                    # what is not as in the image
"""
FLAGS = (
    flags.Flag("container", "c", takes="NAME", help="container (default: the annotated one, or the first)"),
    flags.Flag("depth", takes="N", default="64", help="with tree: how deep"),
    lens.OUTPUT,
    *look.FLAGS,
    *flags.COMMON,
)
SIGNS = {"Added": "A", "Changed": "C", "Deleted": "D"}


def run(argv: Sequence[str]) -> int:
    options = flags.parse("files", USAGE, FLAGS, argv)
    if not 2 <= len(options.args) <= 4:
        raise failure.Usage("a Pod and one of ls, tree, cat, diff, cp must be given", "files")
    lens.form(options)
    pod, verb, *rest = options.args
    expected = {"ls": (0, 1), "tree": (0, 1), "diff": (0, 1), "cat": (1, 1), "cp": (2, 2)}.get(verb)
    if expected is None:
        raise failure.Usage(f'unknown verb "{verb}": ls, tree, cat, diff or cp', "files")
    if not expected[0] <= len(rest) <= expected[1]:
        raise failure.Usage(f"{verb} takes {'a path and a local one' if verb == 'cp' else 'one path'}", "files")
    with client.Client(kubeconfig.load(options)) as api:
        container = pods.container(pods.get(api, pods.name_of(pod)), options.text("container"))
        inside, path = look.choose(options, api), rest[0] if rest else "/"
        if verb == "cat":
            return _cat(inside.content(pod, container, path, archive=False))
        if verb == "cp":
            return _copy(inside.content(pod, container, path, archive=True), path, Path(rest[1]))
        if verb == "diff":
            return _print(options, inside.changes(pod, container, path), verb)
        return _print(options, inside.files(pod, container, path, depth=options.number("depth") if verb == "tree" else 1), verb)


def _cat(chunks: Iterator[bytes]) -> int:
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            view = view[os.write(1, view) :]
    return 0


def _copy(chunks: Iterator[bytes], source: str, local: Path) -> int:
    name = Path(source).name
    target = local / name if local.is_dir() and name not in ("", "..") else local
    with tempfile.TemporaryFile() as archive:
        for chunk in chunks:
            archive.write(chunk)
        archive.seek(0)
        try:
            with tarfile.open(fileobj=archive, errors="surrogateescape") as tar:
                copy.unpack(tar, source.strip("/") or ".", target)
        except copy.NO_ARCHIVE as error:
            raise failure.Failure(f"{source}: what came is no archive: {lens.show(error)}") from None
    return 0


def _print(options: flags.Options, seen: JSON, verb: str) -> int:
    wanted = lens.form(options)
    if wanted in ("json", "yaml"):
        text = lens.structured(seen, wanted)
    elif verb == "diff":
        text = "".join(f"{SIGNS[entry['change']]} {lens.show(entry['path'])}\n" for entry in seen["changes"])
    else:
        text = tree(seen) if verb == "tree" else listing(seen)
    sys.stdout.write(text)
    if seen["truncated"]:
        print("There is more: the list ends here.", file=sys.stderr)
    return 0


def listing(seen: JSON) -> str:
    """As ``ls -l``."""
    rows = [
        [entry["mode"], lens.show(entry["user"]), lens.show(entry["group"]), str(entry["size"]), entry["modified"], _name(seen, entry)]
        for entry in seen["entries"]
    ]
    return "".join(line + "\n" for line in tabs.columns(rows))


def _name(seen: JSON, entry: JSON) -> str:
    name = lens.show(entry["path"].rpartition("/")[2])
    return f"{name} -> {lens.show(entry['target'])}" if "target" in entry else name


def tree(seen: JSON) -> str:
    """Indented names; folders end with a slash."""
    base = seen["path"].rstrip("/").count("/") + 1
    lines = [lens.show(seen["path"])]
    for entry in seen["entries"]:
        level = entry["path"].count("/") - base + 1
        lines.append("  " * level + _name(seen, entry) + ("/" if entry["mode"].startswith("d") else ""))
    return "\n".join(lines) + "\n"
