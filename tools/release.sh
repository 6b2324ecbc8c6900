#!/usr/bin/env bash
# Makes a release: the package of Debian, an archive with the static program, the image of a container with it, the
# bill of materials; for programs the packages of Debian with the library for C, a wheel and a jar; checksums, and their
# signature. All programs have TLS.
#
#     tools/release.sh [FOLDER]            into target/release-files, unless another folder is given
#     tools/release.sh --compare           makes it here and in a clone elsewhere, and compares every byte
#
# Of one commit and one compiler the files are the same, byte for byte, wherever they are built. What is
# missing is installed or named: cargo-deb, cargo-cyclonedx and maturin from their registries, the target of musl by rustup, and
# musl-gcc, which compiles the C of TLS for it. Without these there is no static program and no image, without a JDK no
# jar, without Python no wheel, and the last lines say so.
# $LOCKSTEP_SIGNING_KEY is the key that signs (tools/sign.sh).
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."

cargo_deb_version=3.8.0
cargo_cyclonedx_version=0.5.9
maturin_version=1.16.0
musl=x86_64-unknown-linux-musl
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}"
export CARGO_INCREMENTAL=0 LC_ALL=C
target="$(realpath -m "${CARGO_TARGET_DIR:-target}")"

if [ "${1:-}" = --compare ]; then
    git diff --quiet HEAD || { echo "commit first: the clone has what is committed" >&2; exit 1; }
    "$0" "$target/release-files"
    rm -rf "$target/release-again"
    git clone --quiet . "$target/release-again/clone"
    CARGO_TARGET_DIR="$target/release-again/target" \
        "$target/release-again/clone/tools/release.sh" "$target/release-again/files"
    diff "$target/release-files/SHA256SUMS" "$target/release-again/files/SHA256SUMS"
    echo "two builds, equal bytes:"
    cat "$target/release-files/SHA256SUMS"
    exit
fi

out="$(realpath -m "${1:-$target/release-files}")"
version="$(cargo metadata --no-deps --format-version 1 | sed 's/.*"name":"lockstep","version":"\([^"]*\)".*/\1/')"
# No path of this machine is in the programs.
export RUSTFLAGS="--remap-path-prefix=$PWD=lockstep --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
rm -rf "$out"
mkdir -p "$out"

# A program with TLS asks for a certificate; one without it says that.
has_tls() {
    local users said
    users="$(mktemp)"
    said="$("$1" gateway --config contrib/container/lockstep.toml --name try --users "$users" \
        --listen-tls 127.0.0.1:0 2>&1 || true)"
    rm "$users"
    [[ $said == *gateway.tls_certificate* ]] || { echo "$1 has no TLS: $said" >&2; exit 1; }
}

echo "== the program"
cargo build --locked --profile dist --bin lockstep --features tls
has_tls "$target/dist/lockstep"
cargo build --locked --profile chores -p tools
"$target/chores/tools" package --program "$target/dist/lockstep" "$target/package"

echo "== the bill of materials"
if ! cargo cyclonedx --version 2>/dev/null | grep -q "${cargo_cyclonedx_version%.*}"; then
    env -u RUSTFLAGS -u CARGO_TARGET_DIR cargo install --locked --version "^$cargo_cyclonedx_version" cargo-cyclonedx
fi
# It writes one for each package, and names those of the workspace by their paths.
cargo cyclonedx --quiet --format json --spec-version 1.5 --features tls --target x86_64-unknown-linux-gnu \
    --override-filename lockstep-bill
sed "s|path+file://$PWD|path+file:///lockstep|g" lockstep-bill.json > "$out/lockstep-$version.cdx.json"
git ls-files '*Cargo.toml' | xargs dirname | sed 's|$|/lockstep-bill.json|' | xargs rm -f

echo "== the package of Debian"
if ! cargo deb --version 2>/dev/null | grep -q "${cargo_deb_version%.*}"; then
    env -u RUSTFLAGS -u CARGO_TARGET_DIR cargo install --locked --version "^$cargo_deb_version" cargo-deb
fi
# The list of files in Cargo.toml is relative to the repository.
if [ "$target" != "$PWD/target" ]; then
    rm -rf target/package && mkdir -p target && cp -r "$target/package" target/package
fi
# The program has 138 MB with the lines of its source, for perf and debuggers, and 23 without: two packages.
cargo deb --no-build --profile dist --dbgsym --output "$out/"

echo "== the library for C"
cargo build --locked --profile dist -p lockstep-c
bindings/c/package.sh "$out" "$target/dist"

missing=()
echo "== the jar"
if command -v javac >/dev/null; then
    rm -rf "$target/release-c" "$target/release-java"
    DESTDIR="$target/release-c" bindings/c/install.sh /usr "$target/dist"
    bindings/java/build.sh "$target/release-java" "$target/release-c/usr"
    cp "$target/release-java/lockstep.jar" "$out/lockstep-$version.jar"
else
    missing+=("no jar: there is no javac (apt-get install openjdk-17-jdk-headless)")
fi

echo "== the wheel"
if python3 -m venv "$target/maturin" 2>/dev/null; then
    "$target/maturin/bin/python" -m pip install --quiet --disable-pip-version-check "maturin==$maturin_version"
    # Cargo makes the folder of crates outside of a workspace a part of their symbols, and the binding is a workspace of
    # its own: it is built in a folder of the same name everywhere.
    tree=/tmp/lockstep-wheel
    mkdir -m 700 "$tree" || { echo "another release is made in $tree, or has left it behind" >&2; exit 1; }
    trap 'rm -rf "$tree"' EXIT
    git ls-files -z | tar --create --null --files-from=- | tar --extract --directory "$tree"
    PATH="$target/maturin/bin:$PATH" CARGO_TARGET_DIR="$target/release-python" \
        RUSTFLAGS="$RUSTFLAGS --remap-path-prefix=$tree=lockstep" "$tree/bindings/python/build.sh" "$out"
else
    missing+=("no wheel: python3 has no venv (apt-get install python3-venv)")
fi

echo "== the static program, and its image"
if ! command -v musl-gcc >/dev/null; then
    missing+=("no static program and no image: musl-gcc is not installed (apt-get install musl-tools)")
elif ! [ -d "$("${RUSTC:-rustc}" --print sysroot)/lib/rustlib/$musl" ] && ! rustup target add "$musl" 2>/dev/null; then
    missing+=("no static program and no image: the target $musl cannot be had here")
else
    cargo build --locked --profile dist --bin lockstep --features tls --target "$musl"
    static="lockstep-$version-$musl"
    rm -rf "${target:?}/$static"
    mkdir -p "$target/$static"
    strip -o "$target/$musl/dist/lockstep.stripped" "$target/$musl/dist/lockstep"
    has_tls "$target/$musl/dist/lockstep.stripped"
    cp "$target/$musl/dist/lockstep.stripped" "$target/$static/lockstep"
    cp LICENSE-APACHE LICENSE-MIT CHANGELOG.md "$target/$static/"
    cp -r "$target/package/man" "$target/package/completions" configs contrib "$target/$static/"
    tar --create --directory "$target" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
        --mode=u+rw,go+rX,go-w "$static" | gzip -n > "$out/$static.tar.gz"
    tools/image.sh "$target/$static/lockstep" "$version" "$out/lockstep-$version-container.tar"
fi

tools/sign.sh "$out"
cat "$out/SHA256SUMS"
[ ${#missing[@]} = 0 ] || printf '%s\n' "${missing[@]}" >&2
