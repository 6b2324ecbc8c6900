#!/usr/bin/env bash
# Makes the image of a container: the static program in an empty file system, as contrib/container/Containerfile has
# it. It needs no builder, and so is equal, byte for byte, wherever it is made.
#
#     tools/image.sh PROGRAM VERSION FILE.tar
#
# The file is a layout of OCI (`podman load`, `skopeo copy oci-archive:FILE …`), with the list by which `docker load`
# finds its parts.
set -euo pipefail
umask 022
[ $# = 3 ] && [ -f "$1" ] || { echo "usage: tools/image.sh PROGRAM VERSION FILE.tar" >&2; exit 2; }
program="$(realpath "$1")" version="$2" out="$(realpath -m "$3")"
cd "$(dirname "$0")/.."
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}" LC_ALL=C
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
layout="$work/layout"
mkdir -p "$layout/blobs/sha256" "$work/root/var/lib/lockstep"

# pack FILE FOLDER OWNER MODE NAME…: adds these names of the folder to an archive.
pack() {
    tar --append --file "$1" --directory "$2" --format=ustar --no-recursion --mtime="@$SOURCE_DATE_EPOCH" \
        --owner="$3" --group="$3" --numeric-owner --mode="$4" -- "${@:5}"
}
digest() { sha256sum -- "$1" | cut -d' ' -f1; }
# Moves a file among the blobs, and prints its digest.
blob() {
    local name
    name="$(digest "$1")"
    mv "$1" "$layout/blobs/sha256/$name"
    echo "$name"
}
size() { stat -c %s "$layout/blobs/sha256/$1"; }

cp "$program" "$work/root/lockstep"
pack "$work/layer" "$work/root" 0 755 lockstep var var/lib
# A new volume takes the owner over.
pack "$work/layer" "$work/root" 7700 755 var/lib/lockstep
inner="$(digest "$work/layer")"
gzip -n <"$work/layer" >"$work/layer.gz"
layer="$(blob "$work/layer.gz")"

created="$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)"
cat >"$work/config" <<JSON
{"architecture":"amd64","os":"linux","created":"$created","config":{"User":"7700:7700","Entrypoint":["/lockstep"],"Cmd":["help"],"WorkingDir":"/var/lib/lockstep","Labels":{"org.opencontainers.image.title":"lockstep","org.opencontainers.image.version":"$version","org.opencontainers.image.licenses":"MIT OR Apache-2.0","org.opencontainers.image.source":"https://github.com/lockstep-sequencer/lockstep"}},"rootfs":{"type":"layers","diff_ids":["sha256:$inner"]},"history":[{"created":"$created","created_by":"tools/image.sh"}]}
JSON
config="$(blob "$work/config")"
of_oci=application/vnd.oci.image
cat >"$work/manifest" <<JSON
{"schemaVersion":2,"mediaType":"$of_oci.manifest.v1+json","config":{"mediaType":"$of_oci.config.v1+json","digest":"sha256:$config","size":$(size "$config")},"layers":[{"mediaType":"$of_oci.layer.v1.tar+gzip","digest":"sha256:$layer","size":$(size "$layer")}]}
JSON
manifest="$(blob "$work/manifest")"
cat >"$layout/index.json" <<JSON
{"schemaVersion":2,"mediaType":"$of_oci.index.v1+json","manifests":[{"mediaType":"$of_oci.manifest.v1+json","digest":"sha256:$manifest","size":$(size "$manifest"),"platform":{"architecture":"amd64","os":"linux"},"annotations":{"io.containerd.image.name":"docker.io/library/lockstep:$version","org.opencontainers.image.ref.name":"$version"}}]}
JSON
cat >"$layout/manifest.json" <<JSON
[{"Config":"blobs/sha256/$config","RepoTags":["lockstep:$version"],"Layers":["blobs/sha256/$layer"]}]
JSON
echo '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"

rm -f "$out"
mapfile -t names < <(cd "$layout" && find blobs -type f -printf '%p\n' | sort)
pack "$out" "$layout" 0 644 oci-layout index.json manifest.json "${names[@]}"
