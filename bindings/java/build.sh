#!/usr/bin/env bash
# Builds lockstep.jar in the folder OUT, for Java 17 and newer, with the native library of this architecture inside; and
# the same library beside it, with its symbols, as liblockstep_jni.so:
#
#     bindings/c/install.sh PREFIX
#     bindings/java/build.sh OUT PREFIX
#
# PREFIX is where bindings/c/install.sh has installed the C library, which becomes part of liblockstep_jni.so.
# JAVA_HOME names the JDK; without it, it is that of the javac in the path. CC names the compiler of C.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

fail() {
    echo "bindings/java/build.sh: $1" >&2
    exit 1
}

out=${1:?"where to? bindings/java/build.sh OUT PREFIX"}
prefix=${2:?"where is the C library? bindings/java/build.sh OUT PREFIX, with the PREFIX of bindings/c/install.sh"}
cc=${CC:-cc}

[[ -f $prefix/include/lockstep.h ]] || fail "$prefix/include/lockstep.h is missing: bindings/c/install.sh $prefix"
[[ -f $prefix/lib/liblockstep_c.a ]] || fail "$prefix/lib/liblockstep_c.a is missing: bindings/c/install.sh $prefix"
command -v "$cc" >/dev/null || fail "there is no compiler of C called '$cc': install one, or name it by CC"

jdk=${JAVA_HOME:-}
if [[ -z $jdk ]]; then
    javac=$(command -v javac) || fail "there is no javac in the path: install a JDK of version 17 or newer"
    jdk=$(dirname "$(dirname "$(readlink -f "$javac")")")
fi
[[ -x $jdk/bin/javac && -f $jdk/include/jni.h ]] ||
    fail "$jdk has no bin/javac or no include/jni.h: JAVA_HOME must name a JDK, not a JRE"
version=$("$jdk/bin/javac" -version 2>&1 | sed -n 's/^javac \([0-9]*\).*/\1/p')
((${version:-0} >= 17)) || fail "the JDK in $jdk is of version ${version:-?}: 17 or newer is needed"

mkdir -p "$out"
out=$(cd "$out" && pwd)
classes=$(mktemp -d)
trap 'rm -rf "$classes"' EXIT
find "$here/src" -name '*.java' >"$classes/sources"
"$jdk/bin/javac" -encoding UTF-8 --release 17 -Xlint:all -Werror \
    -h "$classes/include" -d "$classes/java" "@$classes/sources"

# Nothing of the C library can be seen from outside: another copy of it in the process is another library. An id of the
# build would be one of the folders in which it was built.
"$cc" -std=gnu11 -O2 -g -Wall -Wextra -Wmissing-prototypes -Werror -fPIC -fvisibility=hidden -shared \
    -I "$jdk/include" -I "$jdk/include/linux" -I "$prefix/include" -I "$classes/include" \
    "$here/native/lockstep_jni.c" "$here/native/lockstep_machine_jni.c" "$prefix/lib/liblockstep_c.a" -o "$out/liblockstep_jni.so" \
    -Wl,--exclude-libs,ALL -Wl,--gc-sections -Wl,-z,defs -Wl,--build-id=none -lgcc_s -lpthread -ldl -lm -lc

# Native.java looks for it there.
machine=$("$cc" -dumpmachine)
inside="$classes/java/META-INF/native/linux-${machine%%-*}"
mkdir -p "$inside"
"${STRIP:-strip}" --strip-unneeded -o "$inside/liblockstep_jni.so" "$out/liblockstep_jni.so"
cp "$here/../../LICENSE-APACHE" "$here/../../LICENSE-MIT" "$classes/java/META-INF/"

# In an order of its own, and of the time of a release: two builds are equal.
date=()
[[ -z ${SOURCE_DATE_EPOCH:-} ]] || date=(--date="$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)")
cd "$classes/java"
find . -type f -printf '%P\n' | LC_ALL=C sort >"$classes/entries"
"$jdk/bin/jar" --create --file "$out/lockstep.jar" "${date[@]}" "@$classes/entries"
