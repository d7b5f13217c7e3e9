#!/bin/bash
# test.sh: runs the Dockerfile from start to end without a container registry,
# and ships the demo's logs through the container that comes of it.
#
# buildah builds it on stand-ins for the two base images, made here: one from
# Debian's packages (debootstrap) with this machine's Go, and one with this
# machine's fluent-bit and the libraries it needs, and nothing else, as
# Fluent Bit's own image has no shell either. They are kept in IMAGE_CACHE for
# the next time. Where this can't be done it says SKIP and why.
set -euo pipefail
cd "$(dirname "$0")/../.."
repo=$PWD
cache=${IMAGE_CACHE:-$HOME/.cache/aws-for-fluent-bit/image}
suite=${SUITE:-bookworm}

skip() {
	echo "SKIP image-test: $*"
	exit 0
}
for tool in buildah debootstrap fluent-bit go; do
	command -v "$tool" >/dev/null || skip "no $tool on the PATH"
done
[ "$(id -u)" = 0 ] || skip "debootstrap needs root"

work=$(mktemp -d)
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs
buildah() { command buildah --root "$cache/storage" --runroot "$work/run" "$@"; }
container=
cleanup() {
	[ -z "$container" ] || buildah rm "$container" >/dev/null 2>&1 || true
	rm -rf "$work"
}
trap cleanup EXIT
mkdir -p "$cache"
why=$(buildah from --name "probe-$$" scratch 2>&1) || skip "buildah cannot make a container: ${why##*$'\n'}"
buildah rm "probe-$$" >/dev/null

# base NAME DIR: makes an image of a directory.
base() {
	local c
	c=$(buildah from scratch)
	buildah copy -q "$c" "$2" / >/dev/null
	[ -z "${3:-}" ] || buildah config --env "PATH=$3" "$c"
	buildah commit -q --rm "$c" "$1" >/dev/null
}

# The builder: Debian, a C compiler, and this machine's Go.
goroot=$(go env GOROOT)
builder=localhost/golang:stand-in-$(go env GOVERSION)-$suite
if ! buildah inspect --type image "$builder" >/dev/null 2>&1; then
	mirror=$(sed -n -E 's/^(deb +(\[[^]]*\] +)?|URIs: *)(https?:[^ ]+).*/\3/p' /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} 2>/dev/null | head -n 1 || true)
	echo "=== stand-in for the Go image, by debootstrap"
	debootstrap --variant=minbase --include=gcc,libc6-dev,make,binutils,ca-certificates "$suite" "$work/builder" ${mirror:+"$mirror"} >"$work/debootstrap.log" 2>&1 ||
		skip "debootstrap cannot get Debian: $(tail -n 1 "$work/debootstrap.log")"
	rm -rf "$work/builder/var/cache/apt/archives/"*.deb
	mkdir -p "$work/builder$(dirname "$goroot")"
	cp -a "$goroot" "$work/builder$goroot"
	base "$builder" "$work/builder" "$goroot/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	rm -rf "$work/builder"
fi

# The runtime: this machine's fluent-bit and what it is linked to.
echo "=== stand-in for Fluent Bit's image: $(fluent-bit --version | head -n 1)"
runtime=localhost/fluent-bit:stand-in
root=$work/runtime
triplet=$(gcc -print-multiarch 2>/dev/null || echo x86_64-linux-gnu)
mkdir -p "$root/usr/lib/$triplet" "$root/usr/lib64" "$root/fluent-bit/bin" "$root/fluent-bit/etc" "$root/etc/ssl/certs" "$root/tmp" "$root/var/log" \
	"$root/proc" "$root/sys" "$root/dev" # or two commands in the container at once would both make them
ln -s usr/lib "$root/lib"
ln -s usr/lib64 "$root/lib64"
chmod 1777 "$root/tmp"
cp "$(command -v fluent-bit)" "$root/fluent-bit/bin/"
cp demo/parsers.conf "$root/fluent-bit/etc/parsers.conf"
echo 'root:x:0:0:root:/root:/sbin/nologin' >"$root/etc/passwd"
echo 'root:x:0:' >"$root/etc/group"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/" 2>/dev/null || true
# ours are linked to the same libraries, and to these
ldd "$(command -v fluent-bit)" bin/libaws-for-fluent-bit.so | awk '$3 ~ /^\// { print $3 } $1 ~ /^\// { print $1 }' | grep -v ':$' | sort -u | while read -r lib; do
	case $lib in
	*/ld-linux*) cp -L "$lib" "$root/usr/lib64/" ;;
	*libaws-for-fluent-bit*) ;;
	*) cp -L "$lib" "$root/usr/lib/$triplet/" ;;
	esac
done
base "$runtime" "$root"

echo "=== Dockerfile"
# The module cache, so that a second run asks no proxy; the build cache, for time.
modules=$(go env GOMODCACHE) builds=$(go env GOCACHE)
mkdir -p "$modules" "$builds"
buildah build --pull-never --layers=false --format docker --network host \
	--build-arg "GO_IMAGE=$builder" --build-arg "FLUENT_BIT_IMAGE=$runtime" \
	-v "$modules:/root/go/pkg/mod" -v "$builds:/root/.cache/go-build" \
	-t localhost/aws-for-fluent-bit:test . 2>&1 | tee "$work/build.log"
grep -q '^ok .* needs GLIBC' "$work/build.log" || {
	echo "FAIL image-test: the build did not check its glibc"
	exit 1
}

echo "=== the container"
container=$(buildah from --pull-never localhost/aws-for-fluent-bit:test)
mount=$(buildah mount "$container")
for file in cloudwatch.so kinesis.so firehose.so libaws-for-fluent-bit.so etc/fluent-bit.conf etc/fluent-bit.yaml etc/plugins.conf parsers/parsers.conf configs/minimize-log-loss.conf licenses/LICENSE sbom.spdx.json bin/health; do
	[ -s "$mount/fluent-bit/$file" ] || {
		echo "FAIL image-test: no /fluent-bit/$file"
		exit 1
	}
done
if [ -e "$mount/bin/sh" ]; then
	echo "FAIL image-test: the stand-in has a shell, which Fluent Bit's image has not"
	exit 1
fi
mapfile -t entrypoint < <(buildah inspect --format '{{range .OCIv1.Config.Entrypoint}}{{println .}}{{end}}' "$container" | sed '/^$/d')
mapfile -t command < <(buildah inspect --format '{{range .OCIv1.Config.Cmd}}{{println .}}{{end}}' "$container" | sed '/^$/d')
echo "entrypoint: ${entrypoint[*]}"
echo "command:    ${command[*]}"

# stop PID: asks the process in the container to end. It is the last of buildah's
# own; these would kill it if they were asked.
stop() {
	local child children
	children=$(pgrep -P "$1" || true)
	[ -n "$children" ] || kill -TERM "$1" 2>/dev/null || true
	for child in $children; do stop "$child"; done
}

# As anyone, with the configuration that is in the image: it starts, loads the
# plugins, and the health check says so.
env=(-e AWS_REGION=us-east-2 -e AWS_ACCESS_KEY_ID=AKIDEXAMPLE -e AWS_SECRET_ACCESS_KEY=secret -e AWS_EC2_METADATA_DISABLED=true)
buildah run --user 65532 "${env[@]}" "$container" -- "${entrypoint[@]}" "${command[@]}" >"$work/default.log" 2>&1 &
runner=$!
healthy=no
for _ in $(seq 60); do
	if buildah run --user 65532 "$container" -- /fluent-bit/bin/health 2>"$work/health.log"; then
		healthy=yes
		break
	fi
	kill -0 $runner 2>/dev/null || break
	sleep 0.5
done
stop $runner
wait $runner || true
if [ $healthy != yes ]; then
	cat "$work/default.log" "$work/health.log"
	echo "FAIL image-test: the image's own configuration is not healthy"
	exit 1
fi
echo "healthy as user 65532, by /fluent-bit/bin/health"

# The demo, with the container for a fluent-bit.
mkdir "$work/path"
cat >"$work/path/fluent-bit" <<END
#!/bin/bash
# The container as the fluent-bit of the demo, which loads plugins by -e: here
# the image's entrypoint has done that.
args=()
while [ \$# -gt 0 ]; do
	if [ "\$1" = -e ]; then shift 2; else args+=("\$1"); shift; fi
done
env=()
for name in \${!DEMO_*} \${!AWS_*}; do env+=(-e "\$name=\${!name}"); done
command buildah --root '$cache/storage' --runroot '$work/run' run -v '$repo:$repo' --workingdir "\$PWD" "\${env[@]}" '$container' -- ${entrypoint[*]} "\${args[@]}" &
runner=\$!
$(declare -f stop)
trap 'stop \$runner' TERM INT
while kill -0 \$runner 2>/dev/null; do wait \$runner; status=\$?; done
exit \$status
END
chmod +x "$work/path/fluent-bit"
PATH="$work/path:$PATH" DEMO_HOST=fluent-bit go run ./demo | tee "$work/demo.log"
echo "PASS image-test: the Dockerfile builds, and its container has shipped the demo's logs"
