#!/bin/sh
# Sees to it that there is an image golang:1.26 to build from: the one that is
# there, else the one of the registry, else a stand-in made from the toolchain
# installed here. The stand-in has that at /usr/local/go like the real image,
# the CA certificates and /tmp, and nothing else: no shell, no git, no C compiler.
# deploy/Dockerfile needs none of them.
set -eu
image=golang:1.26

docker image inspect "$image" >/dev/null 2>&1 && exit
docker pull --quiet "$image" 2>/dev/null && exit

echo "cannot pull $image: making a stand-in from $(go env GOROOT)" >&2
root=$(mktemp -d)
trap 'rm -r "$root"' EXIT
mkdir -m 1777 "$root/tmp"
# Not by a pipe, in which a tar that fails would still leave an image.
tar --create --file "$root/image.tar" --dereference \
	--directory / --transform "s,^$(go env GOROOT | cut -c2-),usr/local/go," "$(go env GOROOT | cut -c2-)" \
	etc/ssl/certs/ca-certificates.crt \
	--directory "$root" tmp
docker import \
	--change 'ENV PATH=/usr/local/go/bin' \
	--change 'ENV GOPATH=/go' \
	--change 'ENV GOTOOLCHAIN=local' \
	--change 'ENV HOME=/root' \
	--message "stand-in for golang:1.26" "$root/image.tar" "$image"
