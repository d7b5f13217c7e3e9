#!/bin/sh
# zigcc.sh: zig as the C compiler of a cross build, for ZIG_TARGET, such as
# x86_64-linux-gnu.2.17: the number is the oldest glibc that the result runs with.
# ZIG is the command, `zig` or `python3 -m ziglang`.
set -eu
# zig knows no "-z text", which its linker does anyway.
for arg; do
	shift
	[ "$arg" = -Wl,-z,text ] || set -- "$@" "$arg"
done
# shellcheck disable=SC2086 # ZIG may be several words
exec ${ZIG:-zig} cc -target "$ZIG_TARGET" "$@"
