#!/bin/bash
# The filter as an OCI image, with docker or, where no docker daemon answers, with buildah.
#
#   image.sh build MODULE DIR VERSION   build the image; DIR keeps what `push` needs
#   image.sh push DIR REFERENCE         push it, and print the `url` and `sha256` of the Istio resource
#
# IMAGE_TOOL=docker|buildah chooses the tool, PUSH_INSECURE=1 allows a registry without TLS (buildah only: docker
# has a setting of its daemon for that).
# With buildah the same module makes the same image, to the last bit: there is no time in it.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
name=coalmine-filter

die() { echo "image: $*" >&2; exit 1; }

tool=${IMAGE_TOOL:-}
if [ -z "$tool" ]; then
	if command -v docker >/dev/null && docker info >/dev/null 2>&1; then tool=docker
	elif command -v buildah >/dev/null; then tool=buildah
	else die "neither a docker daemon nor buildah is here; on Debian: apt-get install buildah"
	fi
fi

# buildah's storage lives beside the image, so that nothing is left in /var/lib/containers; vfs and chroot work
# without overlay mounts and without a container runtime.
in_storage() {
	local storage=$1; shift
	BUILDAH_ISOLATION=chroot buildah --storage-driver vfs --root "$storage/root" --runroot "$storage/run" "$@"
}

build() {
	local module=$1 dir version=$3
	[ -f "$module" ] || die "there is no module at $module (make filter)"
	rm -rf "$2"; mkdir -p "$2"; dir=$(cd "$2" && pwd)
	install -m 0644 "$module" "$dir/plugin.wasm"
	echo "module  sha256:$(sha256sum "$dir/plugin.wasm" | cut -d' ' -f1)  ($(stat -c %s "$dir/plugin.wasm") bytes)"
	if [ "$tool" = docker ]; then
		docker build --quiet --build-arg "VERSION=$version" --tag "$name:$version" --file "$here/Containerfile" "$dir" >/dev/null
		echo "$name:$version" >"$dir/image"
		echo "image   $name:$version (docker gives it its digest when it is pushed)"
	else
		touch --date=@0 "$dir/plugin.wasm"
		in_storage "$dir/storage" build --quiet --format oci --timestamp 0 --build-arg "VERSION=$version" \
			--tag "$name:$version" --file "$here/Containerfile" "$dir" >/dev/null
		echo "localhost/$name:$version" >"$dir/image"
		# Compressed layers, and so the digest, come into being when the image leaves the storage.
		in_storage "$dir/storage" push --quiet --digestfile "$dir/digest" "localhost/$name:$version" "oci:$dir/layout:$version"
		echo "image   $(cat "$dir/digest")"
	fi
}

push() {
	local dir=$1 reference=$2 image digest
	[ -f "$dir/image" ] || die "nothing is built in $dir (make image)"
	image=$(cat "$dir/image")
	if [ "$tool" = docker ]; then
		docker tag "$image" "$reference"
		docker push --quiet "$reference" >/dev/null
		digest=$(docker image inspect --format '{{join .RepoDigests "\n"}}' "$reference" | grep -F "${reference%:*}@" | head -1)
		digest=${digest#*@}
	else
		in_storage "$dir/storage" push --quiet --tls-verify="$([ -n "${PUSH_INSECURE:-}" ] && echo false || echo true)" \
			--digestfile "$dir/pushed" "$image" "docker://$reference"
		digest=$(cat "$dir/pushed")
	fi
	echo "url: oci://$reference"
	echo "sha256: ${digest#sha256:}"
}

case ${1:-} in
	build) [ $# = 4 ] || die "usage: image.sh build MODULE DIR VERSION"; build "$2" "$3" "$4" ;;
	push) [ $# = 3 ] || die "usage: image.sh push DIR REFERENCE"; push "$2" "$3" ;;
	*) die "usage: image.sh build MODULE DIR VERSION | image.sh push DIR REFERENCE" ;;
esac
