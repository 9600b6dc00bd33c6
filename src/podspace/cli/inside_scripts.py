"""Shell scripts that ``cluster_look`` runs in its ephemeral container, for busybox's sh. Arguments come as $1, $2...; nothing is pasted in.

What they read belongs to the container looked into and may change under them: the worst it can lead to is a file of the ephemeral
container itself, whose image holds nothing of interest.
"""

from __future__ import annotations

# Sets R to where $2 leads inside the root $1: a symlink is followed there, never in our own root.
_RESOLVE = r"""
resolve() {
    rest=$2 R= n=0
    while [ -n "$rest" ]; do
        c=${rest%%/*}
        case $rest in */*) rest=${rest#*/} ;; *) rest= ;; esac
        case $c in '' | .) continue ;; ..) R=${R%/*}; continue ;; esac
        if [ -L "$1$R/$c" ]; then
            n=$((n + 1))
            [ $n -gt 40 ] && { echo "Too many levels of symbolic links" >&2; exit 4; }
            t=$(readlink "$1$R/$c")
            case $t in /*) R= ;; esac
            rest=$t/$rest
        else
            R=$R/$c
        fi
    done
    [ -e "$1$R/" ] || [ -e "$1$R" ] || { echo "No such file or directory" >&2; exit 4; }
}
root=/proc/$1/root
resolve "$root" "$2"
"""

# $1 pid, $2 path, $3 depth, $4 how many at most. Lines: mode in hexadecimal, uid, gid, size, time, then name and target, tabs between.
LIST = (
    _RESOLVE
    + r"""
printf 'at\t%s\n' "$R" | tr '\001' '?'
for f in passwd group; do
    [ -f "$root/etc/$f" ] && head -c 65536 "$root/etc/$f" | sed "s|^|$f:|" && echo
done
top=$root$R
deep=$3
[ -d "$top/" ] && { top=$top/; set -- "$1" "$2" "$3" "$4" -mindepth 1; }
number=$4
shift 4
find "$top" "$@" -maxdepth "$deep" -exec sh -c '
    for f; do
        s=$(stat -c "%f %u %g %s %Y" "$f" 2>/dev/null) || continue
        printf "=%s\t" "$s"
        { printf "%s" "$f"; [ -L "$f" ] && { printf "\003"; readlink -n "$f"; }; } | tr "\n\t" "\001\002"
        echo
    done' sh {} + 2>/dev/null | head -n "$number"
exit 0
"""
)

# $1 pid, $2 path: a plain file's bytes.
CAT = (
    _RESOLVE
    + r"""
[ -d "$root$R" ] && { echo "is a folder" >&2; exit 4; }
[ -f "$root$R" ] || { echo "not a plain file" >&2; exit 4; }
exec cat "$root$R"
"""
)

# $1 pid, $2 path: a tar of it, named by its last part.
TAR = (
    _RESOLVE
    + r"""
if [ -z "$R" ]; then cd "$root" && exec tar -cf - .; fi
[ -d "$root$R" ] || [ -f "$root$R" ] || { echo "neither a file nor a folder" >&2; exit 4; }
cd "$root${R%/*}" && exec tar -cf - "./${R##*/}"
"""
)

# $1 signal's number, $2 pid, $3 its start time: the number may have come round again since it was looked at.
SIGNAL = r"""
read -r s < "/proc/$2/stat" || exit 3
set -- "$1" "$2" "$3" ${s##*) }
[ "${23}" = "$3" ] || exit 3
kill -"$1" "$2"
"""
