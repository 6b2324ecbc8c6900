#!/usr/bin/env bash
# Builds the Node module OUT/lockstep, for Node 18 and newer:
#
#     bindings/c/install.sh PREFIX
#     bindings/node/build.sh OUT PREFIX
#
# PREFIX is where bindings/c/install.sh has installed the C library, which becomes part of the module. NODE_INCLUDE
# names the folder of node_api.h; without it, it is looked for beside the node in the path. CC names the compiler of C.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

fail() {
    echo "bindings/node/build.sh: $1" >&2
    exit 1
}

out=${1:?"where to? bindings/node/build.sh OUT PREFIX"}
prefix=${2:?"where is the C library? bindings/node/build.sh OUT PREFIX, with the PREFIX of bindings/c/install.sh"}
cc=${CC:-cc}

[[ -f $prefix/include/lockstep.h ]] || fail "$prefix/include/lockstep.h is missing: bindings/c/install.sh $prefix"
[[ -f $prefix/lib/liblockstep_c.a ]] || fail "$prefix/lib/liblockstep_c.a is missing: bindings/c/install.sh $prefix"
command -v "$cc" >/dev/null || fail "there is no compiler of C called '$cc': install one, or name it by CC"

headers=${NODE_INCLUDE:-}
if [[ -z $headers ]]; then
    node=$(command -v node) ||
        fail "there is no node in the path: install it, or name the folder of node_api.h by NODE_INCLUDE"
    headers=$(dirname "$(dirname "$(readlink -f "$node")")")/include/node
fi
[[ -f $headers/node_api.h ]] ||
    fail "$headers/node_api.h is missing: it is in Debian's package libnode-dev; NODE_INCLUDE names another folder"

mkdir -p "$out/lockstep"
install -m 644 "$here/index.js" "$here/constants.js" "$here/package.json" "$out/lockstep/"
# Nothing of the C library can be seen from outside: another copy of it in the process is another library. The functions
# of Node are found in the program that loads the module.
"$cc" -std=gnu11 -O2 -g -Wall -Wextra -Wconversion -Werror -fPIC -fvisibility=hidden -shared \
    -I "$headers" -I "$prefix/include" \
    "$here/lockstep_node.c" "$prefix/lib/liblockstep_c.a" -o "$out/lockstep/lockstep.node" \
    -Wl,--exclude-libs,ALL -Wl,--gc-sections -lgcc_s -lpthread -ldl -lm -lc
