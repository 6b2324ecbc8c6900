#!/usr/bin/env bash
# Builds liblockstep_c and installs it below PREFIX, with its headers, its pkg-config file and its CMake package:
#
#     bindings/c/install.sh PREFIX [FOLDER]
#
# With FOLDER it installs the libraries that are built there. For a package there is DESTDIR, the folder that
# stands for the root of a file system: the files go below DESTDIR/PREFIX, and no loader of this machine is asked.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

prefix=${1:?"where to? bindings/c/install.sh PREFIX [FOLDER]"}
built=${2:-}
if [[ -z $built ]]; then
    cargo build --profile dist --manifest-path "$here/Cargo.toml"
    built=$(cargo metadata --format-version 1 --no-deps --manifest-path "$here/Cargo.toml" |
        sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')/dist
fi
version=$(cargo pkgid --offline --manifest-path "$here/Cargo.toml" | sed 's/.*[#@]//')
root=${DESTDIR:-}$prefix
abi=$(sed -n 's/^#define LOCKSTEP_ABI_VERSION //p' "$here/include/lockstep.h")

install -d "$root/include" "$root/lib/pkgconfig" "$root/lib/cmake/lockstep"
install -m 644 "$here"/include/*.h "$here"/include/*.hpp "$root/include/"
install -m 755 "$built/liblockstep_c.so" "$root/lib/liblockstep_c.so.$abi"
ln -sf "liblockstep_c.so.$abi" "$root/lib/liblockstep_c.so"
install -m 644 "$built/liblockstep_c.a" "$root/lib/"
sed "s/@VERSION@/$version/" "$here/install/lockstep.pc.in" >"$root/lib/pkgconfig/lockstep.pc"
install -m 644 "$here/install/lockstepConfig.cmake" "$root/lib/cmake/lockstep/"
cat >"$root/lib/cmake/lockstep/lockstepConfigVersion.cmake" <<VERSION
set(PACKAGE_VERSION "$version")
if(PACKAGE_FIND_VERSION VERSION_GREATER PACKAGE_VERSION)
    set(PACKAGE_VERSION_COMPATIBLE FALSE)
else()
    set(PACKAGE_VERSION_COMPATIBLE TRUE)
endif()
VERSION

[[ -z ${DESTDIR:-} ]] || exit 0
# The loader looks libraries up in a cache, which is made anew where it covers this folder.
library=$(cd "$prefix/lib" && pwd -P)
ldconfig=$(PATH=$PATH:/usr/sbin:/sbin command -v ldconfig || true)
searched=
[[ -z $ldconfig ]] || searched=$("$ldconfig" -N -X -v 2>/dev/null || true)
if [[ $'\n'$searched == *$'\n'"$library:"* ]]; then
    "$ldconfig" || echo "programs do not find liblockstep_c.so yet: run ldconfig as root" >&2
else
    echo "the loader does not search $library: link with -Wl,-rpath,$library, run programs with" \
        "LD_LIBRARY_PATH=$library, or name it in /etc/ld.so.conf.d and run ldconfig" >&2
fi
