#!/usr/bin/env bash
# The Go benchmarks of this tree against those of another commit, by benchstat:
#
#   diff.sh BASE BENCH COUNT BENCHTIME PACKAGE...
#
# BASE is a commit, BENCH a pattern of benchmarks, COUNT how often each runs,
# PACKAGE a directory as ./internal/chunk. Both sides run in turn, so that
# whatever else the machine does meets both.
set -euo pipefail

base=$1 pattern=$2 count=$3 time=$4
shift 4
root=$(git rev-parse --show-toplevel)
cd "$root"
if ! commit=$(git rev-parse --verify --quiet "$base^{commit}"); then
	echo "cannot find the commit '$base': make bench-diff BASE=commit" >&2
	exit 2
fi
if ! [[ $count =~ ^[1-9][0-9]*$ ]]; then
	echo "cannot run COUNT='$count': allowed is 1 and more" >&2
	exit 2
fi
benchstat() { go run golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da "$@"; }
if ! why=$(benchstat -h 2>&1) && [[ $why != *Usage* ]]; then
	echo "SKIP bench-diff: cannot get benchstat: $(tail -n 1 <<<"$why")"
	exit 0
fi

dir=$(mktemp -d)
clean() {
	git -C "$root" worktree remove --force "$dir/base" 2>/dev/null || true
	rm -rf "$dir"
	git -C "$root" worktree prune
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
git worktree add --quiet --detach "$dir/base" "$commit"

# binary TREE PACKAGE builds a package's tests, and fails where it has no
# benchmarks on one side.
binary() {
	grep -qs '^func Benchmark' "$1/$2"/*_test.go && (cd "$1" && go test -c -o "$dir/$3/$(tr / _ <<<"$2").test" "$2")
}
mkdir "$dir/old" "$dir/new"
packages=()
for p in "$@"; do
	p=${p#aws-for-fluent-bit/}
	p=./${p#./}
	if binary "$dir/base" "$p" old && binary "$root" "$p" new; then packages+=("$p"); fi
done
if ((${#packages[@]} == 0)); then
	echo "cannot compare: none of the packages has benchmarks at $base and here" >&2
	exit 2
fi

# run SIDE TREE PACKAGE
run() {
	(cd "$2/$3" && "$dir/$1/$(tr / _ <<<"$3").test" -test.run '^$' -test.bench "$pattern" -test.benchtime "$time" -test.benchmem) >>"$dir/$1.txt"
}
for ((i = 1; i <= count; i++)); do
	for p in "${packages[@]}"; do
		echo "$i of $count: $p" >&2
		run old "$dir/base" "$p"
		run new "$root" "$p"
	done
done
benchstat "$base=$dir/old.txt" "here=$dir/new.txt"
