#!/bin/sh
# build.sh ARCH OUT LIBC: builds what the image adds to Fluent Bit's, laid out
# below OUT. ARCH is amd64 or arm64. LIBC is the C library of the image that it
# is added to: the build fails if that is too old for what was built.
set -eu
arch=$1 out=$2 libc=$3

if [ "$arch" != "$(go env GOHOSTARCH)" ]; then
	case $arch in
	arm64) triplet=aarch64-linux-gnu package=gcc-aarch64-linux-gnu libs=libc6-dev-arm64-cross ;;
	amd64) triplet=x86_64-linux-gnu package=gcc-x86-64-linux-gnu libs=libc6-dev-amd64-cross ;;
	*)
		echo "cannot build for $arch: allowed are amd64 and arm64" >&2
		exit 1
		;;
	esac
	export CC=$triplet-gcc
	if ! command -v "$CC" >/dev/null; then
		apt-get update -qq
		apt-get install -y -qq --no-install-recommends $package $libs
	fi
fi
export GOARCH=$arch CGO_ENABLED=1

mkdir -p "$out/fluent-bit/bin" "$out/fluent-bit/etc" "$out/fluent-bit/parsers" "$out/fluent-bit/configs" "$out/var/lib/fluent-bit"
make build BIN="$out/fluent-bit" CC="${CC:-cc}"
sh loader/symbols.sh "$out/fluent-bit"
sh deploy/glibc.sh "$out/fluent-bit" "$(grep -ao 'GLIBC_[0-9.]*[0-9]' "$libc" | sort -uV | tail -n 1)"

CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$out/fluent-bit/bin/health" ./deploy/image/health
GOARCH='' CGO_ENABLED=0 go run ./deploy/bill -library "$out/fluent-bit/libaws-for-fluent-bit.so" -out "$out/fluent-bit"
cp LICENSE "$out/fluent-bit/licenses/LICENSE"
cp fluent-bit.conf fluent-bit.yaml plugins.conf "$out/fluent-bit/etc/"
cp deploy/image/configs/*.conf "$out/fluent-bit/configs/"
