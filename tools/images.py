"""Images for the demo, the tests and the bench, made on this machine from Debian's own packages; nothing of them is in git.

    python -m tools.images build                              make them (cached below .cache/images)
    python -m tools.images push --registry 127.0.0.1:5000     make them and push them
    python -m tools.images list                               their names

Needs root (owners of files in layers), apt and dpkg. Safe to run several times at once.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tools import image_debian, image_layout, image_recipes, image_stand_ins, registry_push
from tools.image_recipes import Recipe

CACHE = Path(__file__).resolve().parents[1] / ".cache" / "images"
_OCI_ARCHITECTURE = {"armhf": "arm", "i386": "386"}


def layout() -> Path:
    """Return the folder of an OCI layout with every image but stand-ins, making it if it is missing, or older than packages or recipes."""
    return _layouts() / "own"


def stand_ins() -> Path:
    """The same with the images that stand in for others' (``image_stand_ins``)."""
    return _layouts() / "stand-ins"


def _layouts() -> Path:
    CACHE.mkdir(parents=True, exist_ok=True)
    with _locked(CACHE / "lock"):
        stamp = CACHE / "stamp"
        wanted = _recipe_hash()
        folder = CACHE / "layouts"
        if stamp.exists() and stamp.read_text() == wanted and (folder / "own" / "index.json").exists():
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        _build(folder)
        stamp.write_text(wanted)
    return folder


def names() -> list[str]:
    """All full names, with tags."""
    recipes = (*image_recipes.RECIPES, *image_stand_ins.STAND_INS)
    return [f"{recipe.name}:{tag}" for recipe in recipes for tag in recipe.tags]


def push(registry: str, *, with_stand_ins: bool = False) -> None:
    """Make the images if need be and push them to a registry that speaks plain HTTP ("127.0.0.1:5000")."""
    registry_push.push_layout(layout(), registry)
    if with_stand_ins:
        registry_push.push_layout(stand_ins(), registry)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.images", description=__doc__.splitlines()[0] if __doc__ else "")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("build")
    verbs.add_parser("list")
    verbs.add_parser("push").add_argument("--registry", required=True, metavar="HOST:PORT")
    options = parser.parse_args(argv)
    if options.verb == "list":
        print("\n".join(names()))
    elif options.verb == "build":
        print(layout())
    else:
        push(options.registry)
    return 0


def _build(folder: Path) -> None:
    staging = CACHE / "staging"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(mode=0o700)
    previous = os.umask(0o022)
    try:
        _stage(staging)
        _check_nginx(staging)
        _pack(image_recipes.RECIPES, staging, folder / "own")
        _pack(image_stand_ins.STAND_INS, staging, folder / "stand-ins")
    finally:
        os.umask(previous)
        shutil.rmtree(staging, ignore_errors=True)


def _stage(staging: Path) -> None:
    _unpack(image_recipes.BUSYBOX_PACKAGES, staging / "packages")
    _unpack(image_recipes.LIBRARY_PACKAGES, staging / "base")
    _unpack(image_recipes.NGINX_PACKAGES, staging / "nginx")
    shutil.rmtree(staging / "nginx/var", ignore_errors=True)
    image_recipes.stage_busybox(staging / "busybox", staging / "packages")
    image_recipes.stage_base(staging / "base", staging / "packages")
    image_recipes.stage_nginx_config(staging / "nginx-config")
    image_recipes.stage_init(staging / "init")
    image_recipes.stage_user(staging / "user")
    image_stand_ins.stage(staging / image_stand_ins.LAYER)


def _unpack(packages: tuple[str, ...], root: Path) -> None:
    root.mkdir()
    known = image_debian.versions(packages)
    if not known:
        raise SystemExit(f"images: apt knows none of {' '.join(packages)}: this needs Debian or Ubuntu with its package lists")
    image_debian.unpack(image_debian.fetch(known, CACHE / "debs"), root)


def _check_nginx(staging: Path) -> None:
    """A library nobody listed would show up much later, as a container that does not start: look now."""
    whole = staging / "whole"
    whole.mkdir()
    for layer in ("base", "nginx", "nginx-config"):
        subprocess.run(["cp", "-a", f"{staging / layer}/.", str(whole)], check=True)
    done = subprocess.run(["chroot", str(whole), "/usr/sbin/nginx", "-v"], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"images: nginx does not start with the packages listed in tools/image_recipes.py: {done.stderr.strip()}")


def _pack(recipes: Sequence[Recipe], staging: Path, folder: Path) -> None:
    architecture = _OCI_ARCHITECTURE.get(image_debian.architecture(), image_debian.architecture())
    target = image_layout.Layout(folder)
    tars: dict[str, bytes] = {}
    for recipe in recipes:
        layers = []
        for name in recipe.layers:
            tars.setdefault(name, image_layout.pack_folder(staging / name))
            shared = name == "busybox"  # one blob for every image that stands on it
            layers.append(image_layout.layer(tars[name], compression="gzip" if shared else recipe.compression))
        descriptor = target.add_image(layers, recipe.config, architecture=architecture)
        if recipe.index:
            descriptor = target.add_index([descriptor])
        target.tag(descriptor, *(f"{recipe.name}:{tag}" for tag in recipe.tags))
    target.save()


def _recipe_hash() -> str:
    sources = b"".join(
        Path(str(module.__file__)).read_bytes()
        for module in (image_debian, image_layout, image_recipes, image_stand_ins, sys.modules[__name__])
    )
    return hashlib.sha256(sources + json.dumps(names()).encode()).hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main())
