#!/usr/bin/env bash
# Writes the checksums of a release's files, and signs them where there is a key.
#
#     tools/sign.sh FOLDER
#
# SHA256SUMS has every file of the folder. SHA256SUMS.sig is its signature by $LOCKSTEP_SIGNING_KEY: a private key of
# ssh-keygen, or a public one whose other half an agent or a token holds. The key has to stand in
# contrib/release/allowed_signers ($LOCKSTEP_SIGNERS), as everybody verifies by that file: docs/DEPLOY.md has the
# commands. Without a key the last line says that nothing is signed.
#
# Why ssh-keygen: it is on every host that operators reach by ssh. minisign and signify would have to be installed
# before the first release could be trusted.
set -euo pipefail
[ $# = 1 ] && [ -d "$1" ] || { echo "usage: tools/sign.sh FOLDER" >&2; exit 2; }
signers="$(realpath "${LOCKSTEP_SIGNERS:-$(dirname "$0")/../contrib/release/allowed_signers}")"
key="${LOCKSTEP_SIGNING_KEY:+$(realpath "$LOCKSTEP_SIGNING_KEY")}"
cd "$1"
export LC_ALL=C

rm -f SHA256SUMS SHA256SUMS.sig
sums="$(find . -maxdepth 1 -type f -printf '%P\n' | sort | xargs -r -d '\n' sha256sum --)"
[ -n "$sums" ] || { echo "$1 has no file to sign" >&2; exit 1; }
printf '%s\n' "$sums" >SHA256SUMS
if [ -z "$key" ]; then
    echo "not signed: LOCKSTEP_SIGNING_KEY names no key" >&2
    exit
fi
ssh-keygen -q -Y sign -f "$key" -n lockstep-release SHA256SUMS
if ! ssh-keygen -q -Y verify -f "$signers" -I lockstep -n lockstep-release -s SHA256SUMS.sig <SHA256SUMS >&2; then
    rm -f SHA256SUMS.sig
    echo "not signed: $signers does not have the key $key: write its public half there, and commit that" >&2
    exit 1
fi
