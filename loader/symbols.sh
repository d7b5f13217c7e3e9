#!/bin/sh
# symbols.sh DIR: checks that what was built in DIR shows what it should and
# nothing else, and prints the newest glibc it asks for.
set -eu
dir=$1
failed=0

# shows FILE: the names FILE defines for others, sorted, on one line.
shows() {
	nm -D --defined-only "$1" | awk '{ print $NF }' | sort | xargs
}

# check FILE WANTED
check() {
	got=$(shows "$1")
	if [ "$got" = "$2" ]; then
		echo "ok   $1: $got"
	else
		printf 'FAIL %s\n  shows:  %s\n  wanted: %s\n' "$1" "$got" "$2"
		failed=1
	fi
}

library=$dir/libaws-for-fluent-bit.so
map=$(dirname "$0")/library.map
check "$library" "$(sed -n '/global:/,/local:/s/^ *\([A-Za-z_]*\);.*/\1/p' "$map" | sort | xargs)"
for loader in "$dir"/*.so; do
	[ "$loader" = "$library" ] && continue
	check "$loader" FLBPluginRegister
	if ! readelf -d "$loader" | grep -q 'NEEDED.*\[libaws-for-fluent-bit.so\]' ||
		! readelf -d "$loader" | grep -q 'RUNPATH.*\[$ORIGIN\]'; then
		echo "FAIL $loader does not ask for libaws-for-fluent-bit.so beside it"
		failed=1
	fi
done
# shellcheck disable=SC2046 # words are wanted
newest=$(nm -D $(ls "$dir"/*.so) | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1)
echo "newest glibc symbol: $newest"
exit $failed
