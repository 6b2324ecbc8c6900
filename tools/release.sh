#!/usr/bin/env bash
# Makes a release: the package of Debian, an archive with the static program, the bill of materials, checksums.
#
#     tools/release.sh [FOLDER]            into target/release-files, unless another folder is given
#     tools/release.sh --compare           makes two, in two target folders, and compares every byte
#
# Of one commit and one compiler the files are the same, byte for byte. What is missing is installed or named:
# cargo-deb from the registry, the target of musl by rustup. Without that target there is no static program,
# and the last line says so.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo_deb_version=3.8.0
musl=x86_64-unknown-linux-musl
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}"
export CARGO_INCREMENTAL=0
target="${CARGO_TARGET_DIR:-target}"

if [ "${1:-}" = --compare ]; then
    for number in 1 2; do
        CARGO_TARGET_DIR="$target/release-$number" "$0" "$target/release-$number/files"
    done
    diff "$target/release-1/files/SHA256SUMS" "$target/release-2/files/SHA256SUMS"
    echo "two builds, equal bytes:"
    cat "$target/release-1/files/SHA256SUMS"
    exit
fi

out="${1:-$target/release-files}"
version="$(cargo metadata --no-deps --format-version 1 | sed 's/.*"name":"lockstep","version":"\([^"]*\)".*/\1/')"
# No path of this machine is in the programs.
export RUSTFLAGS="--remap-path-prefix=$PWD=lockstep --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
rm -rf "$out"
mkdir -p "$out"

echo "== the program"
cargo build --locked --release --bin lockstep
cargo build --locked --release -p tools
"$target/release/tools" package "$target/package"
"$target/release/tools" sbom > "$out/lockstep-$version.cdx.json"

echo "== the package of Debian"
if ! cargo deb --version 2>/dev/null | grep -q "^${cargo_deb_version%.*}"; then
    env -u RUSTFLAGS -u CARGO_TARGET_DIR cargo install --locked --version "^$cargo_deb_version" cargo-deb
fi
# The list of files in Cargo.toml is relative to the repository.
if [ "$target" != target ]; then
    rm -rf target/package && mkdir -p target && cp -r "$target/package" target/package
fi
cargo deb --no-build --no-strip --output "$out/"

echo "== the static program"
static=""
if rustup target list --installed 2>/dev/null | grep -q "$musl" || rustup target add "$musl" 2>/dev/null; then
    cargo build --locked --release --bin lockstep --target "$musl"
    static="lockstep-$version-$musl"
    mkdir -p "$target/$static"
    cp "$target/$musl/release/lockstep" LICENSE-APACHE LICENSE-MIT CHANGELOG.md "$target/$static/"
    cp -r "$target/package/man" "$target/package/completions" configs contrib "$target/$static/"
    tar --create --directory "$target" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
        "$static" | gzip -n > "$out/$static.tar.gz"
fi

(cd "$out" && sha256sum -- *.* > SHA256SUMS.new && mv SHA256SUMS.new SHA256SUMS && cat SHA256SUMS)
[ -n "$static" ] || echo "no static program: the target $musl cannot be had here" >&2
