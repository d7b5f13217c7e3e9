#!/bin/sh
# glibc.sh DIR VERSION: checks that no library in DIR asks for a glibc newer than
# VERSION, such as GLIBC_2.17.
set -eu
dir=$1 most=$2
# shellcheck disable=SC2046,SC2012 # words are wanted, and the names are ours
newest=$(nm -D $(ls "$dir"/*.so) | grep -o 'GLIBC_[0-9.]*[0-9]' | sort -uV | tail -n 1)
if [ -z "$newest" ] || [ -z "$most" ] || [ "$(printf '%s\n%s\n' "$newest" "$most" | sort -V | tail -n 1)" != "$most" ]; then
	echo "FAIL $dir needs ${newest:-a glibc that cannot be told}, and there is only ${most:-one that cannot be told}"
	exit 1
fi
echo "ok   $dir needs $newest, and may need $most"
