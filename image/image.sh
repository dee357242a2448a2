#!/bin/bash
# The filter, and the server, as OCI images, with docker or, where no docker daemon answers, with buildah.
#
#   image.sh filter MODULE DIR VERSION   build the filter's image; DIR keeps what `push` needs
#   image.sh server FOLDER DIR VERSION   build the server's image, of what `make server-image` has put into FOLDER
#   image.sh push DIR REFERENCE          push the image in DIR, and print the lines that name it in Kubernetes
#
# IMAGE_TOOL=docker|buildah chooses the tool, PUSH_INSECURE=1 allows a registry without TLS (buildah only: docker
# has a setting of its daemon for that).
# With buildah the same files make the same image, to the last bit: there is no time in it.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)

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

# The folder for an image, empty.
fresh() {
	rm -rf "$1"; mkdir -p "$1/context"
	(cd "$1" && pwd)
}

# What lies in DIR/context becomes the image NAME:VERSION, by DIR/context/Dockerfile.
make_image() {
	local dir=$1 name=$2 version=$3
	if [ "$tool" = docker ]; then
		docker build --quiet --build-arg "VERSION=$version" --tag "$name:$version" "$dir/context" >/dev/null
		echo "$name:$version" >"$dir/image"
		echo "image   $name:$version (docker gives it its digest when it is pushed)"
	else
		find "$dir/context" -exec touch --date=@0 {} +
		in_storage "$dir/storage" build --quiet --format oci --timestamp 0 --build-arg "VERSION=$version" \
			--tag "$name:$version" --file "$dir/context/Dockerfile" "$dir/context" >/dev/null
		echo "localhost/$name:$version" >"$dir/image"
		# Compressed layers, and so the digest, come into being when the image leaves the storage.
		in_storage "$dir/storage" push --quiet --digestfile "$dir/digest" "localhost/$name:$version" "oci:$dir/layout:$version"
		echo "image   $(cat "$dir/digest")"
	fi
}

filter() {
	local module=$1 dir version=$3
	[ -f "$module" ] || die "there is no module at $module (make filter)"
	dir=$(fresh "$2")
	install -m 0644 "$module" "$dir/context/plugin.wasm"
	install -m 0644 "$here/filter.Dockerfile" "$dir/context/Dockerfile"
	echo "module  sha256:$(sha256sum "$module" | cut -d' ' -f1)  ($(stat -c %s "$module") bytes)"
	printf 'url: oci://REFERENCE\nsha256: DIGEST\n' >"$dir/lines"
	make_image "$dir" coalmine-filter "$version"
}

server() {
	local folder=$1 dir version=$3
	[ -f "$folder/Dockerfile" ] || die "there is nothing for the server's image in $folder (make server-image)"
	dir=$(fresh "$2")
	cp -r "$folder/." "$dir/context"
	printf 'newName: REPOSITORY\ndigest: sha256:DIGEST\n' >"$dir/lines"
	make_image "$dir" coalmine "$version"
}

push() {
	local dir=$1 reference=$2 image digest
	[ -f "$dir/image" ] || die "nothing is built in $dir (make image, make push-server)"
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
	sed "s|REFERENCE|$reference|; s|REPOSITORY|${reference%:*}|; s|DIGEST|${digest#sha256:}|" "$dir/lines"
}

case ${1:-} in
	filter | server) [ $# = 4 ] || die "usage: image.sh $1 SOURCE DIR VERSION"; "$1" "$2" "$3" "$4" ;;
	push) [ $# = 3 ] || die "usage: image.sh push DIR REFERENCE"; push "$2" "$3" ;;
	*) die "usage: image.sh filter MODULE DIR VERSION | image.sh server FOLDER DIR VERSION | image.sh push DIR REFERENCE" ;;
esac
