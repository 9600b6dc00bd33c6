"""``podspace image``: bring images to this machine, list them, remove them.

Works on the image store itself, beside a running server or without one: the store is made for several processes. Needs root, as the
server does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from podspace import errors
from podspace.cli import failure, flags, output, server_flags, tabs
from podspace.image import model, reference, service
from podspace.kube import duration, times
from podspace.kube.json import JSON

if TYPE_CHECKING:
    from rich import progress as rich_progress

USAGE = """
Manage the images of this machine.

  podspace image load FILE|FOLDER...   docker-archive or oci-archive tarball, or OCI layout; - reads the tarball from a pipe
  podspace image pull NAME...          from its registry
  podspace image ls [-o json|yaml]
  podspace image rm NAME|ID...         refused while containers stand on it
  podspace image prune                 all that no container uses

Examples:
  podspace image load image.tar
  podspace image pull docker.io/library/nginx:1.27
  podspace image rm nginx:1.27
"""
FLAGS = (
    *server_flags.PLACE,
    flags.Flag("quiet", "q", help="only ids; no progress"),
    flags.Flag("output", "o", takes="FORMAT", help="json, yaml, name, wide or jsonpath=... (ls)"),
    flags.Flag("no-headers", help="without the header line (ls)"),
)
SHORT_ID = 12
_VERBS = "load, pull, ls, rm or prune"
UNITS = ("B", "kB", "MB", "GB", "TB")


def run(argv: Sequence[str]) -> int:
    options = flags.parse("image", USAGE, FLAGS, argv)
    verb, *names = options.args or [""]
    verbs: dict[str, Callable[[flags.Options, service.Images, list[str]], int]] = {
        "load": load,
        "pull": pull,
        "ls": ls,
        "list": ls,
        "rm": remove,
        "remove": remove,
        "prune": prune,
    }
    if verb not in verbs:
        raise failure.Usage(f'unknown command "{verb}": {_VERBS}' if verb else f"expected {_VERBS}", "image")
    if names and verbs[verb] is prune:
        raise failure.Usage("image prune takes no names: it removes every image that no container uses", "image")
    if not names and verbs[verb] not in (ls, prune):
        raise failure.Usage(f"image {verb}: name at least one", "image")
    try:
        return verbs[verb](options, service.Images(server_flags.make(options)), names)
    except errors.PodspaceError as error:
        raise failure.Failure(str(error)) from error
    except PermissionError as error:
        raise failure.Failure(f"{error.filename}: {error.strerror}; images are root's: sudo podspace image {verb}") from error


def load(options: flags.Options, images: service.Images, names: list[str]) -> int:
    for name in names:
        with _progress(options) as progress:
            loaded = asyncio.run(images.load(Path("/dev/stdin" if name == "-" else name), progress=progress))
        for image in loaded:
            for said in [image.id] if options.on("quiet") else [f"Loaded image: {name}" for name in _names(image)]:
                print(said)
    return 0


def pull(options: flags.Options, images: service.Images, names: list[str]) -> int:
    for name in names:
        with _progress(options) as progress:
            image = asyncio.run(images.pull(name, progress=progress))
        print(image.id if options.on("quiet") else f"Pulled image: {reference.parse(name)}")
    return 0


def ls(options: flags.Options, images: service.Images, names: list[str]) -> int:
    found = [image for image in images.list() if not names or any(name in "\n".join((*image.repo_tags, image.id)) for name in names)]
    if options.text("output") == "name":
        sys.stdout.write("".join(f"{name}\n" for image in found for name in _names(image)))
        return 0
    printer = output.printer(options.text("output"))
    if printer:
        sys.stdout.write(printer([_as_json(image) for image in found], True))
        return 0
    if options.on("quiet"):
        sys.stdout.write("".join(f"{image.id}\n" for image in found))
        return 0
    rows = [] if options.on("no-headers") else [["NAME", "TAG", "ID", "AGE", "SIZE"]]
    rows += [row for image in found for row in _rows(image, now=time.time())]
    sys.stdout.write("".join(line + "\n" for line in tabs.columns(rows)))
    return 0


def remove(options: flags.Options, images: service.Images, names: list[str]) -> int:
    in_use = _in_use(options)
    code = 0
    for name in names:
        try:
            for removed in asyncio.run(images.remove(name, in_use=in_use)):
                print(f"Deleted: {removed}" if removed.startswith("sha256:") else f"Untagged: {removed}")
        except errors.PodspaceError as error:
            print(f"error: {error}", file=sys.stderr)
            code = 1
    return code


def prune(options: flags.Options, images: service.Images, names: list[str]) -> int:
    in_use = _in_use(options)
    idle = [image for image in images.list() if image.id not in in_use]
    gone = [image for image in idle if remove(options, images, [image.id]) == 0]
    if not options.on("quiet"):
        print(f"{len(gone)} removed, {human_size(sum(image.size_bytes for image in gone))} as they came from the registry")
    return 0 if gone == idle else 1


def _in_use(options: flags.Options) -> frozenset[str]:
    """Ids of the images that containers of this server stand on or have mounted: the engine's own records say which."""
    found = set()
    for record in server_flags.paths(options).run.glob("containers/*/intent.json"):
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            config = json.loads(record.read_text())["config"]
            found |= {str(config["image"]), *(str(mount["image"]) for mount in config.get("mounts", ()) if mount.get("image"))}
    return frozenset(found)


def _names(image: model.Image) -> tuple[str, ...]:
    """All its tags; what has none goes by its digest or its id."""
    return image.repo_tags or image.repo_digests[:1] or (image.id,)


def _as_json(image: model.Image) -> JSON:
    return {
        "id": image.id,
        "repoTags": list(image.repo_tags),
        "repoDigests": list(image.repo_digests),
        "sizeBytes": image.size_bytes,
        "created": image.created,
        "architecture": image.architecture,
    }


def _rows(image: model.Image, *, now: float) -> list[list[str]]:
    rest = [image.id.removeprefix("sha256:")[:SHORT_ID], _age(image.created, now), human_size(image.size_bytes)]
    named = [tag.rpartition(":") for tag in image.repo_tags] or [("<none>", "", "<none>")]
    return [[name, tag, *rest] for name, _, tag in named]


def _age(created: str, now: float) -> str:
    try:
        return duration.human(now - times.parse(created))
    except ValueError:
        return "<unknown>"


def human_size(size_bytes: int) -> str:
    """``12.3MB``: powers of a thousand, as docker prints them."""
    size, unit = float(size_bytes), 0
    while size >= 1000 and unit < len(UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.3g}{UNITS[unit]}"


@contextlib.contextmanager
def _progress(options: flags.Options) -> Iterator[model.Progress | None]:
    """A bar for each layer on a terminal, nothing elsewhere."""
    if options.on("quiet") or not sys.stderr.isatty():
        yield None
        return
    from rich import console, progress

    columns: list[rich_progress.ProgressColumn] = [
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
    ]
    with progress.Progress(*columns, console=console.Console(stderr=True)) as bars:
        tasks: dict[str, rich_progress.TaskID] = {}

        def show(digest: str, done: int, total: int) -> None:
            if digest not in tasks:
                tasks[digest] = bars.add_task(digest.removeprefix("sha256:")[:SHORT_ID], total=total or None)
            bars.update(tasks[digest], completed=done, total=total or None)

        yield show
