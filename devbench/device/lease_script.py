"""The shell text with which leases are taken, kept, shown and ended on a device; does no input or output.

It needs only Android's mksh and toybox: arithmetic has 32 bits, and what is read from files is checked before
it is computed with, since a shell evaluates what it compares. Files of a lease, all named after its number N:

    N.lease           a link, made in one atomic step; its target describes the owner
    N.until.TOKEN     boot id and uptime of its end
    N.pid.TOKEN       the process group that its owner runs: id, start, boot id
    N.app.TOKEN       the package of an app that its owner runs

Every program that runs under a lease has DEVBENCH_LEASE=FOLDER/N.TOKEN in its environment. By that it is found also
after the shell that started it has ended, or after the folder was removed.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection

FORMAT = "devbench-lease-1"
# A later end than this is ignored: no process of the tool has a longer deadline.
MAX_S = 8 * 86_400
MARK_VARIABLE = "DEVBENCH_LEASE"
# A killed process is gone within milliseconds; for one that the kernel keeps, this many waits of 50 ms.
_MAX_TRIES = 60
# So that a shorter text covers a longer one: the file is overwritten in place, and no reader finds it empty.
_PAD = " " * 10


def header(folder: str) -> str:
    """Sets the folder, the boot id, the uptime, and the highest number of a lease."""
    return f"""_db_dir={shlex.quote(folder)}
read -r _db_boot < /proc/sys/kernel/random/boot_id; read -r _db_up _db_rest < /proc/uptime; _db_up=${{_db_up%.*}}
_db_highest() {{
_db_n=0
for _db_f in "$_db_dir"/*.lease; do
[ -L "$_db_f" ] || continue
_db_k=${{_db_f##*/}}; _db_k=${{_db_k%.lease}}
case $_db_k in *[!0-9]*|''|??????????*) continue;; esac
[ "$_db_k" -gt $_db_n ] && _db_n=$_db_k
done
}}
_db_highest"""


# Prints the time and the highest lease.
SHOW = """echo "now $_db_boot $_db_up"
[ $_db_n -gt 0 ] && {
_db_t=$(readlink "$_db_dir/$_db_n.lease")
case $_db_t in *[!A-Za-z0-9,._@-]*) _db_t=;; esac
echo "lease $_db_n $_db_t"
for _db_f in "$_db_dir/$_db_n".until.*; do
[ -f "$_db_f" ] || continue
_db_t=${_db_f#"$_db_dir/$_db_n".until.} _db_b= _db_e=; read -r _db_b _db_e < "$_db_f"
case $_db_t$_db_b$_db_e in *[!A-Za-z0-9._@-]*) ;; *) echo "until $_db_t $_db_b $_db_e";; esac
done
}
true"""

# `_db_kill FILE` ends the process group that the file names, if it is still that one; fails if it has not gone yet.
# `_db_sweep MARK` ends what has the mark in its environment; fails likewise. `_db_a` is a process that stays.
END = f"""_db_kill() {{
[ -f "$1" ] || return 0
_db_p= _db_s= _db_b=; read -r _db_p _db_s _db_b < "$1"
case "$_db_p" in ''|*[!0-9]*|??????????*) return 0;; esac
[ "$_db_p" -gt 1 ] && [ "$_db_b" = "$_db_boot" ] || return 0
if read -r _db_stat < /proc/$_db_p/stat; then
_db_stat=${{_db_stat##*) }}; set -- $_db_stat
case $1 in Z|X) return 0;; esac
[ "${{20}}" = "$_db_s" ] || return 0
elif kill -0 $_db_p; then return 0
else
case $(kill -0 $_db_p 2>&1) in *ermitted*) ;; *) return 0;; esac
fi
kill -9 -$_db_p || kill -9 $_db_p
_db_a=$_db_p; return 1
}} 2>/dev/null
_db_sweep() {{
_db_s=0
for _db_f in $(grep -lszF "{MARK_VARIABLE}=$1" /proc/[0-9]*/environ); do
_db_p=${{_db_f#/proc/}}; _db_p=${{_db_p%%/*}}
read -r _db_stat < /proc/$_db_p/stat || continue
_db_stat=${{_db_stat##*) }}; set -- $_db_stat
case $3 in ''|*[!0-9]*|0|1) ;; *) kill -9 -$3;; esac
kill -9 $_db_p; _db_a=$_db_p _db_s=1
done
return $_db_s
}} 2>/dev/null"""


def end_own(folder: str, number: int, token: str) -> str:
    """Ends what runs under one lease, and waits until it has gone."""
    return f"""{header(folder)}
{END}
_db_t=0
while [ $_db_t -lt {_MAX_TRIES} ]; do
_db_r=0; _db_kill "$_db_dir/{number}.pid.{token}" || _db_r=1
_db_sweep "$_db_dir/{number}.{token}" && [ $_db_r = 0 ] && break
_db_t=$((_db_t + 1)); sleep 0.05
done"""


def functions(folder: str, number: int, token: str) -> str:
    """Defines `_db_lease SECONDS` and `_db_mark` for one lease; neither starts a process.

    `_db_lease` succeeds while the lease is held, and then lets it last for that long from now on. `_db_mark` names the
    shell as what the owner runs. A script has to mark itself before it asks for the lease: a run that takes the
    device in between then ends it.
    """
    place = shlex.quote(folder)
    until, pid = (shlex.quote(f"{folder}/{number}.{kind}.{token}") for kind in ("until", "pid"))
    return f"""_db_lease() {{
[ -f {until} ] && [ -L {place}/{number}.lease ] || return 1
for _db_f in {place}/*.lease; do
_db_k=${{_db_f##*/}}; _db_k=${{_db_k%.lease}}
case $_db_k in *[!0-9]*|''|??????????*) continue;; esac
[ "$_db_k" -gt {number} ] && [ -L "$_db_f" ] && return 1
done
read -r _db_boot < /proc/sys/kernel/random/boot_id; _db_was=; read -r _db_was _db_end < {until}
[ "$_db_was" = "$_db_boot" ] || return 1
read -r _db_up _db_rest < /proc/uptime && echo "$_db_boot $((${{_db_up%.*}} + $1)){_PAD}" 1<> {until}
}}
_db_mark() {{
umask 022
export {MARK_VARIABLE}={shlex.quote(f"{folder}/{number}.{token}")}
{_mark(pid)}
}}"""


def _mark(pid_file: str) -> str:
    """Shell text that writes the shell's process id, its start (field 22 of its stat) and the boot id to a file."""
    return f"""read -r _db_boot < /proc/sys/kernel/random/boot_id; read -r _db_stat < /proc/$$/stat
_db_stat=${{_db_stat##*) }}; set -- $_db_stat; echo "$$ ${{20}} $_db_boot" > {pid_file}"""


def take(folder: str, token: str, target: str, *, over: Collection[int], lasts_s: int) -> str:
    """Takes the next number if all leases are over, or are among the numbers `over`; else prints one that is not.

    That is the highest lease. It is a lower one if a run that took its place was cut off before it had ended it.
    What runs under lower numbers has ended before it prints `taken NUMBER`; if it cannot be ended, the number is given
    back and the process is named: `stays PID`. The first number of a folder is the uptime, so that numbers grow also
    after the folder was removed.

    Args:
        target: the link's text; the uptime is added to it.
        over: leases that do not count, whether they are over or not.
        lasts_s: seconds until the new lease ends.
    """
    place = shlex.quote(folder)
    return f"""umask 022
[ -d {place} ] || {{ mkdir -p {place} && chown "$(stat -c %u:%g {place}/..)" {place} 2>/dev/null; }}
[ -d {place} ] || exit 1
{header(folder)}
{END}
_db_over() {{
for _db_f in "$_db_dir/$1".until.*; do
[ -f "$_db_f" ] || continue
_db_b= _db_e=; read -r _db_b _db_e < "$_db_f"
case "$_db_e" in *[!0-9]*|''|??????????*) continue;; esac
[ "$_db_b" = "$_db_boot" ] && [ "$_db_e" -gt $_db_up ] && [ "$_db_e" -le $((_db_up + {MAX_S})) ] && return 1
done
return 0
}}
_db_lower() {{
_db_k=${{1##*/}}; _db_k=${{_db_k%%.*}}
case $_db_k in *[!0-9]*|''|??????????*) return 1;; esac
[ "$_db_k" -lt $_db_m ]
}}
_db_given() {{
case " {" ".join(map(str, over))} " in *" $1 "*) return 0;; esac
return 1
}}
_db_alone() {{
[ $_db_n = $_db_m ] || return 1
for _db_g in "$_db_dir"/*.lease; do
_db_lower "$_db_g" && [ -L "$_db_g" ] && ! _db_given $_db_k || continue
_db_over $_db_k || {{ _db_held=$_db_k; return 1; }}
done
return 0
}}
_db_end_all() {{
_db_t=0
for _db_g in "$_db_dir"/*.app.*; do
_db_lower "$_db_g" && [ -f "$_db_g" ] && read -r _db_p < "$_db_g" || continue
case "$_db_p" in ''|*[!A-Za-z0-9._]*) ;; *) am force-stop "$_db_p" </dev/null >/dev/null 2>&1;; esac
done
while [ $_db_t -lt {_MAX_TRIES} ]; do
_db_s=0 _db_r=0
for _db_g in "$_db_dir"/*.pid.*; do
case ${{_db_g##*/}} in *.*.*.*) continue;; esac
_db_lower "$_db_g" || continue
_db_kill "$_db_g" || _db_r=1
done
_db_sweep "$_db_dir/" && [ $_db_r = 0 ] && return 0
_db_t=$((_db_t + 1)); sleep 0.05
done
return 1
}}
_db_held=
if [ $_db_n = 0 ] || _db_given $_db_n || _db_over $_db_n; then
_db_m=$((_db_n + 1)); [ $_db_n = 0 ] && _db_m=$((_db_up + 1))
_db_own="$_db_dir/$_db_m.until.{token}" _db_mine="$_db_dir/$_db_m.pid.{token}"
echo "$_db_boot $((_db_up + {lasts_s})){_PAD}" > "$_db_own" || exit 1
{{ {_mark('"$_db_mine"')}; }} || exit 1
if ln -s "{target},$_db_up" "$_db_dir/$_db_m.lease" 2>/dev/null; then
_db_highest
if _db_alone; then
if _db_end_all; then
for _db_g in "$_db_dir"/*; do _db_lower "$_db_g" && rm -f "$_db_g"; done
rm -f "$_db_mine"
echo "taken $_db_m"
exit 0
fi
echo "stays $_db_a"
fi
rm -f "$_db_dir/$_db_m.lease"
fi
rm -f "$_db_own" "$_db_mine"
_db_highest
_db_n=${{_db_held:-$_db_n}}
fi
{SHOW}"""
