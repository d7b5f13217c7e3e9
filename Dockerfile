# The official Fluent Bit image with the three plugins, where users of
# aws-for-fluent-bit and FireLens look for them: /fluent-bit/cloudwatch.so,
# kinesis.so and firehose.so.
#
#   docker build -t aws-for-fluent-bit .
#   docker buildx build --platform linux/amd64,linux/arm64 -t aws-for-fluent-bit .
#
# The builder's glibc must not be newer than that of Fluent Bit's image; the
# build checks what came of it. Other base images: --build-arg GO_IMAGE=...
ARG GO_IMAGE=golang:1.26-bookworm
ARG FLUENT_BIT_IMAGE=fluent/fluent-bit:5.1.1

FROM ${FLUENT_BIT_IMAGE} AS fluent-bit

# Always on the machine's own processor: the C compiler and Go cross-compile.
FROM --platform=${BUILDPLATFORM:-linux/amd64} ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
COPY --from=fluent-bit /usr/lib/*-linux-gnu/libc.so.6 /runtime/
ARG TARGETARCH=amd64
RUN sh deploy/image/build.sh "$TARGETARCH" /out /runtime/libc.so.6

FROM fluent-bit
LABEL org.opencontainers.image.title="aws-for-fluent-bit" \
      org.opencontainers.image.description="Fluent Bit with output plugins for CloudWatch Logs, Kinesis Data Streams and Data Firehose" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/fluent-bit /fluent-bit
# Parsers where a mounted /fluent-bit/etc does not hide them.
COPY --from=fluent-bit /fluent-bit/etc/parsers*.conf /fluent-bit/parsers/
# For buffers and positions. Anyone's without a volume: the user is for whoever
# runs the image to choose.
COPY --from=build --chown=65532:65532 --chmod=1777 /out/var/lib/fluent-bit /var/lib/fluent-bit

# Root by default, as in Fluent Bit's image: a node's logs are root's, and so is
# FireLens' socket. Everything else runs as any user, 65532 for one.
EXPOSE 2020 24224
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/fluent-bit/bin/health"]
# The plugins are loaded whatever the configuration: that which FireLens writes
# has no [PLUGINS].
ENTRYPOINT ["/fluent-bit/bin/fluent-bit", "-e", "/fluent-bit/cloudwatch.so", "-e", "/fluent-bit/kinesis.so", "-e", "/fluent-bit/firehose.so"]
CMD ["-c", "/fluent-bit/etc/fluent-bit.conf"]
