#!/usr/bin/env bash
# Bring a fresh Debian 12 / Ubuntu machine to where `make demo`, `make test` and `make bench` run. Root only; idempotent;
# a second run does nothing and takes a tenth of a second. `bench` as an argument: also the peers that the bench measures.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}

say() { printf 'setup: %s\n' "$*" >&2; }

if [ "$(id -u)" != 0 ]; then
    say "needs root: Pods need namespaces, mounts and cgroups (try: sudo make ...)"
    exit 1
fi

# program -> Debian package
missing=()
want() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing+=("$2"); }
want crun crun
want runc runc
want conmon conmon
want catatonit catatonit
want busybox busybox-static
want skopeo skopeo
want docker-registry docker-registry
want nft nftables
[ -x /usr/lib/cni/bridge ] || [ -x /opt/cni/bin/bridge ] || missing+=(containernetworking-plugins)
want iptables iptables # what those plugins call
want ip iproute2
want ps procps
want openssl openssl
want kubectl kubernetes-client
[ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
if [ "${1:-}" = bench ]; then
    want podman podman
    want containerd containerd
fi
# Debian's own Python leaves venv to a package; any other brings it along.
if ! command -v "$PYTHON" >/dev/null 2>&1; then
    [ "$PYTHON" != python3 ] || missing+=(python3 python3-venv)
elif [ -d /usr/lib/python3/dist-packages ] && ! "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
    missing+=("$("$PYTHON" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')")
fi

if [ "${#missing[@]}" -gt 0 ]; then
    if ! command -v apt-get >/dev/null 2>&1; then
        say "this machine has no apt: install what Debian packages as ${missing[*]}, then try again"
        exit 1
    fi
    say "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    said=$(mktemp)
    trap 'rm -f "$said"' EXIT
    apt-get update -qq >"$said" 2>&1 || true  # if it matters, the installation says so
    if [[ " ${missing[*]} " == *" kubernetes-client "* ]] && ! apt-cache show kubernetes-client >/dev/null 2>&1; then
        # Ubuntu has kubectl as a snap only.
        if ! command -v snap >/dev/null 2>&1 || ! snap install kubectl --classic >>"$said" 2>&1; then
            cat "$said" >&2
            say "no kubectl here, and apt has no kubernetes-client: install kubectl (any release from 1.20 on), then try again"
            exit 1
        fi
        for package in "${!missing[@]}"; do [ "${missing[package]}" != kubernetes-client ] || unset "missing[package]"; done
    fi
    if ! apt-get install -y -qq --no-install-recommends "${missing[@]}" >>"$said" 2>&1; then
        cat "$said" >&2
        say "apt could not install ${missing[*]}: see above"
        exit 1
    fi
    # We start a registry, and for the bench a containerd, of our own when one is needed; the packages' services would sit there for ever.
    for service in docker-registry containerd; do
        case " ${missing[*]} " in *" $service "*)
            [ ! -d /run/systemd/system ] || systemctl disable -q --now "$service.service" || true
            ;;
        esac
    done
fi

if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    say "needs Python 3.11 or newer as $PYTHON; name another one: make PYTHON=/path/to/python3 ..."
    exit 1
fi

stamp=.venv/.stamp
# The lock decides the packages, pyproject the entry point; either one newer than the stamp means "again".
if [ ! -e "$stamp" ] || [ requirements.lock -nt "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
    say "creating .venv"
    # Half a .venv, left by a try without ensurepip, is no use.
    .venv/bin/python -c 'import pip' 2>/dev/null || "$PYTHON" -m venv --clear .venv
    .venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
    .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
    touch "$stamp"
fi

# Where PYTHONDONTWRITEBYTECODE is set, every start would compile anew: a third of what `podspace exec` takes. Quick when nothing changed.
.venv/bin/python -m compileall -q src
