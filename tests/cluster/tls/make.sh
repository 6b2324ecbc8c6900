#!/usr/bin/env bash
# How the certificates and keys beside this file were made; the authority's own key is thrown away. openssl 3.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
touch "$work/index"
cat >"$work/config" <<EOF
[ca]
default_ca = lockstep
[lockstep]
database = $work/index
new_certs_dir = $work
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[gateway]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:gateway.test
[client]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
subjectAltName = DNS:desk.test
EOF
# make NAME SUBJECT EXTENSIONS SIGNER...
make() {
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/$1.key"
    openssl req -new -key "$work/$1.key" -subj "/CN=$2" -out "$work/$1.csr"
    openssl ca -batch -notext -config "$work/config" -extensions "$3" "${@:4}" -in "$work/$1.csr" -out "$1.pem" \
        -startdate 20200101000000Z -enddate 21200101000000Z
}
make authority "lockstep test authority" authority -selfsign -keyfile "$work/authority.key"
for name in first second; do
    make "$name" "$name gateway.test" gateway -cert authority.pem -keyfile "$work/authority.key"
    cp "$work/$name.key" .
done
# Clients have an authority of their own.
make client-authority "lockstep test authority of clients" authority -selfsign -keyfile "$work/client-authority.key"
make client "desk.test" client -cert client-authority.pem -keyfile "$work/client-authority.key"
cp "$work/client.key" .
