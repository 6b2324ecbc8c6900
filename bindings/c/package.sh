#!/usr/bin/env bash
# Makes the packages of Debian with the library for C and C++ in the folder OUT:
#
#     bindings/c/package.sh OUT [FOLDER]
#
# liblockstep-c2 is what programs run with: the shared library, whose number is that of the binary interface.
# liblockstep-dev is what they are compiled with: all else that bindings/c/install.sh installs, and the examples. With
# FOLDER they have the libraries that are built there. It needs dpkg-dev and binutils.
set -euo pipefail
umask 022
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

out=${1:?"where to? bindings/c/package.sh OUT [FOLDER]"}
for program in dpkg-deb dpkg-shlibdeps strip; do
    command -v "$program" >/dev/null || {
        echo "bindings/c/package.sh: there is no $program in the path: apt-get install dpkg-dev binutils" >&2
        exit 1
    }
done
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

DESTDIR="$work/dev" "$here/install.sh" /usr "${@:2}"
strip --strip-unneeded "$work"/dev/usr/lib/liblockstep_c.so.*
strip --strip-debug "$work/dev/usr/lib/liblockstep_c.a"
version=$(sed -n 's/^Version: //p' "$work/dev/usr/lib/pkgconfig/lockstep.pc")
library=$(basename "$work"/dev/usr/lib/liblockstep_c.so.*)
runtime="liblockstep-c${library##*.}"
install -d "$work/$runtime/usr/lib" "$work/$runtime/DEBIAN"
mv "$work/dev" "$work/liblockstep-dev"
mv "$work/liblockstep-dev/usr/lib/$library" "$work/$runtime/usr/lib/"

# The packages that the library needs, by the symbols that it asks for. The program wants to see the file of a source.
install -d "$work/debian"
printf 'Source: lockstep\n\nPackage: %s\nArchitecture: any\n' "$runtime" >"$work/debian/control"
needed=$(cd "$work" && dpkg-shlibdeps -O "$runtime/usr/lib/$library" | sed -n 's/^shlibs:Depends=//p')
[[ $needed == *libc6* ]] || { echo "bindings/c/package.sh: dpkg-shlibdeps finds no libc6 in '$needed'" >&2; exit 1; }

examples="$work/liblockstep-dev/usr/share/doc/liblockstep-dev/examples"
install -d "$examples/cmake"
install -m 644 "$here/examples/hello.c" "$examples/"
install -m 644 "$here"/examples/cmake/* "$examples/cmake/"

# package NAME SECTION DEPENDS SUMMARY: the tree of that name becomes a package.
package() {
    local name=$1 tree="$work/$1"
    install -d "$tree/DEBIAN" "$tree/usr/share/doc/$name"
    install -m 644 "$here/../../contrib/debian/copyright" "$tree/usr/share/doc/$name/copyright"
    gzip -n9 <"$here/../../contrib/debian/changelog" >"$tree/usr/share/doc/$name/changelog.Debian.gz"
    cat >"$tree/DEBIAN/control" <<CONTROL
Package: $name
Source: lockstep
Version: $version-1
Architecture: $(dpkg --print-architecture)
Maintainer: $(sed -n 's/^maintainer = "\(.*\)"$/\1/p' "$here/../../Cargo.toml")
Section: $2
Priority: optional
Depends: $3
Homepage: https://github.com/lockstep-sequencer/lockstep
Description: $4
 lockstep is a low-latency multicast sequencer: it turns messages from many
 publishers into one stream that every subscriber receives in the same order.
CONTROL
    (cd "$tree" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) >"$tree/DEBIAN/md5sums"
    chmod 644 "$tree"/DEBIAN/*
    dpkg-deb --root-owner-group --build "$tree" "$out/" >/dev/null
}

# Makes the loader's cache anew.
echo "activate-noawait ldconfig" >"$work/$runtime/DEBIAN/triggers"
# Packages of programs depend on this.
echo "liblockstep_c ${library##*.} $runtime (>= $version)" >"$work/$runtime/DEBIAN/shlibs"
package "$runtime" libs "$needed" "lockstep's handles for C and C++"
package liblockstep-dev libdevel "$runtime (= $version-1), libc6-dev | libc-dev" \
    "lockstep's handles for C and C++: headers and static library"
