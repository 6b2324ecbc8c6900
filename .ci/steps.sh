# What both lanes of CI are made of: `.ci/run` judges each change in minutes, `.ci/night` takes hours. Sourced by
# both. A step asks nothing, and writes nothing but cargo's target folder. CONTRIBUTING.md says what runs where.

export CARGO_TERM_COLOR=never
# Nothing here is built twice: without what a second build would save, the target folder has a quarter of its size.
export CARGO_INCREMENTAL=0
# A panic names its line without it, and a tenth of the compiler's time goes into it.
export CARGO_PROFILE_DEV_DEBUG=none
target="${CARGO_TARGET_DIR:-target}"
mkdir -p "$target"
tools="$target/ci-tools"
log="$target/ci-tests.log"
exec </dev/null

# The features that compile C, which README's commands do without: TLS, and the bridges into NATS and Kafka.
features_of_c=tls,lockstep-bridge/nats,lockstep-bridge/kafka

# Hundredths of a second that the calibration took, by either clock; 0 where nothing was calibrated.
declare -A calibration=([wall]=0 [processors]=0)
# The clock of steps: that of the wall, and aside the time that processors have spent on what this shell ran.
clock=wall

# Sets `reading` to that clock, in hundredths of a second.
look() {
    if [[ $clock == wall ]]; then
        reading=$((${EPOCHREALTIME/[.,]/} / 10000))
    else
        # In a file, as a shell in `$(…)` has run nothing yet.
        local file="$target/ci-times.$BASHPID"
        times >"$file"
        reading=$(awk -F '[ms ]+' 'NR == 2 { print int(($1 * 60 + $2 + $3 * 60 + $4) * 100) }' "$file")
    fi
}

# `step NAME BUDGET COMMAND…` runs a command and prints what it took beside its budget. Budgets are multiples of
# the calibration, which is a compile on the same machine minutes before: no absolute time is judged. One and a
# half times the budget fails. A budget of 0 is no budget: what the step takes is up to a registry.
step() {
    local name="$1" budget="$2" unit="${calibration[$clock]}" of="" began took
    shift 2
    [[ $clock == wall ]] || of=" of processors"
    echo "== $name: $*"
    look
    began=$reading
    # Not in an `if`: a function called from a condition would lose `set -e`.
    "$@"
    look
    took=$((reading - began))
    if [[ $unit == 0 || $budget == 0 ]]; then
        echo "== $name: $((took / 100)) s$of"
        return 0
    fi
    local allowed=$((budget * unit))
    echo "== $name: $((took / 100)) s$of, of $((allowed / 100)) s ($budget calibrations)"
    if ((took * 2 > allowed * 3)); then
        echo "$name took more than one and a half times its budget: make it faster, move its long form to" \
            ".ci/night, or raise the budget in .ci/run with the reason"
        return 1
    fi
}

# The unit of all budgets: the tests of lockstep-core, compiled from nothing. They are needed anyway. In a target
# folder that has them already there is nothing to measure: then times are printed, and not judged.
calibrate() {
    local -A began
    if compgen -G "$target/debug/deps/liblockstep_core-*" >/dev/null; then
        echo "the target folder is not new: times are printed, and not judged"
        return 0
    fi
    # Fetching is the registry's time, not the compiler's.
    cargo fetch --quiet --locked
    for clock in processors wall; do
        look
        began[$clock]=$reading
    done
    cargo test --quiet --package lockstep-core --no-run
    for clock in processors wall; do
        look
        calibration[$clock]=$((reading - began[$clock]))
    done
    echo "one calibration is $((calibration[wall] / 100)) s, $((calibration[processors] / 100)) s of processors"
}

# `aside NAME COMMAND…` runs a command beside the following steps, until `joined NAME` waits for it and prints what it
# printed.
declare -A asides
aside() {
    local name="$1"
    shift
    set -m # a group of its own, which can be ended as a whole
    (
        clock=processors
        "$@"
    ) >"$target/ci-$name.log" 2>&1 &
    set +m
    asides[$name]=$!
}

joined() {
    local code=0
    wait "${asides[$1]}" || code=$?
    unset "asides[$1]"
    cat "$target/ci-$1.log"
    return "$code"
}

trap 'for group in "${asides[@]}"; do kill -- "-$group" || true; done' EXIT

# Packages that some tests look for. Only where CI says so: a developer's machine is his own.
packages() {
    if [[ "${CI:-}" != true ]]; then
        echo "CI is not 'true': nothing is installed"
        return 0
    fi
    if ! command -v apt-get >/dev/null; then
        echo "no apt-get: nothing is installed"
        return 0
    fi
    local become=()
    if [[ $(id -u) != 0 ]]; then
        if ! sudo -n true 2>/dev/null; then
            echo "neither root nor sudo: nothing is installed"
            return 0
        fi
        become=(sudo -n)
    fi
    local apt=("${become[@]}" env DEBIAN_FRONTEND=noninteractive timeout 180 apt-get -qq)
    local missing=() package
    for package in valgrind nftables tshark python3-venv prometheus prometheus-alertmanager tmux strace libfaketime g++ dpkg-dev libquickfix-dev cmake pkg-config chromium postgresql influxdb skopeo musl-tools; do
        dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
    done
    # One of another origin will do.
    command -v javac >/dev/null || missing+=(openjdk-17-jdk-headless)
    command -v go >/dev/null || missing+=(golang-go)
    command -v node >/dev/null || missing+=(nodejs libnode-dev)
    if [[ ${#missing[@]} == 0 ]]; then
        echo "all there"
        return 0
    fi
    "${apt[@]}" update || echo "apt-get update failed: offline?"
    # One by one: a package that is not to be had keeps none of the others away.
    for package in "${missing[@]}"; do
        if "${apt[@]}" install -y --no-install-recommends "$package" >"$target/ci-apt.log" 2>&1; then
            echo "installed $package"
        else
            echo "not to be had: $package ($(tail -n 1 "$target/ci-apt.log"))"
        fi
    done
}

# README's second command, word for word (tests/tidy compares them). It writes down the output of tests that pass,
# and so every SKIPPED line.
tests() {
    if cargo test --workspace --no-fail-fast -- --show-output >"$log" 2>&1; then
        results "$log"
    elif grep -q '^failures:$' "$log"; then
        results "$log"
        alone
    else
        tail -n 100 "$log"
        return 1
    fi
}

# One line for each program of a run of tests, with the output of what failed.
results() {
    awk '/^ +(Running|Doc-tests)/ { print; next } /^failures:$/ { on = 1 } /^test result/ { print; on = 0 } on' "$1"
}

# Programs whose tests start processes, and so wait for a machine that others use as well.
programs_of_processes=(lockstep lockstep-app lockstep-bench lockstep-bridge lockstep-client lockstep-daemon
    lockstep-demo lockstep-doctor lockstep-node lockstep-process)
# So many unsteady tests in one run are too many.
unsteady_max=3

# A test of processes that failed beside others runs once more, alone. One that passes then is reported as UNSTEADY,
# and is to be mended: it took a busy machine for a wrong one. Any other failure is one.
alone() {
    local targets names package kind program
    targets="$(sed -n 's/^    `\(-p [^ ]* --.*\)`$/\1/p' "$log")"
    # The last list before a program's result has the names, and the one before it their output.
    names="$(awk '/^failures:$/ { list = ""; next } /^test result: FAILED/ { printf "%s", list }
        /^    [^ ]+$/ { list = list $1 "\n" }' "$log" | sort -u)"
    if [[ -z "$targets" || -z "$names" ]] || (($(wc -l <<<"$names") > unsteady_max)); then
        return 1
    fi
    while read -r _ package kind program; do
        [[ "$kind" == --test && " ${programs_of_processes[*]} " == *" $package "* ]] || return 1
    done <<<"$targets"
    echo "once more, one at a time: $(tr '\n' ' ' <<<"$names")"
    for program in $(sed -n 's/.* --test //p' <<<"$targets" | sort -u); do
        RUST_TEST_THREADS=1 cargo test --workspace --test "$program" -- --show-output --exact $names >"$log.alone" 2>&1 || {
            sed -n '/^failures:$/,$p' "$log.alone"
            return 1
        }
        cat "$log.alone" >>"$log"
    done
    sed 's/^/UNSTEADY: /' <<<"$names"
}

# The tests of the features that compile C. The workspace's other features are the same, so that little is built again.
compiled() {
    if ! command -v cc >/dev/null || ! command -v make >/dev/null; then
        echo "SKIPPED: there is no cc or no make: TLS and the bridges into NATS and Kafka are not built here"
        return 0
    fi
    local out="$target/ci-compiled.log"
    local with=(--workspace --features "$features_of_c")
    if ! { cargo test "${with[@]}" --bin lockstep-bridge --test bridge -- --show-output &&
        cargo test "${with[@]}" --test cluster -- --show-output tls::; } >"$out" 2>&1; then
        grep -q '^failures:$' "$out" && sed -n '/^failures:$/,$p' "$out" || tail -n 100 "$out"
        return 1
    fi
    grep -E '^test result' "$out"
    cat "$out" >>"$log"
}

# Every SKIPPED line must contain a text that tests/skips.toml allows.
skips() {
    local allowed="$target/ci-skips.txt" asleep
    sed -n 's/^text = "\(..*\)"$/\1/p' tests/skips.toml >"$allowed"
    asleep=$(grep -F 'SKIPPED:' "$log" | sort -u | grep -vFf "$allowed" || true)
    if [[ -n "$asleep" ]]; then
        echo "tests were skipped for reasons that tests/skips.toml does not name:"
        echo "$asleep"
        return 1
    fi
    echo "skipped and allowed: $(grep -cF 'SKIPPED:' "$log" || true)"
}

# The version that CI installs; another one that is there will do.
deny_version=0.20.2

# `cargo deny`, from the registry: half a minute without optimization.
install_deny() {
    export PATH="$PATH:$PWD/$tools/bin"
    if ! cargo deny --version >/dev/null 2>&1 && [[ "${CI:-}" == true ]]; then
        cargo install --locked --quiet --debug --root "$tools" "cargo-deny@$deny_version" >"$target/ci-deny.log" 2>&1 ||
            echo "cargo-deny is not to be had: $(tail -n 1 "$target/ci-deny.log")"
    fi
}

# The snapshot of advisories as `cargo deny` wants it: the clone of a repository, under the name that it
# computes of https://github.com/RustSec/advisory-db. With a text, one more advisory that has it.
unpack_advisories() {
    local folder=target/advisory-db/advisory-db-3157b0e258782691
    rm -rf target/advisory-db
    mkdir -p "$folder/crates/libc"
    tar -xzf .ci/advisories.tar.gz -C "$folder"
    [[ -z "${1:-}" ]] || echo "$1" >"$folder/crates/libc/RUSTSEC-2099-0001.md"
    git -C "$folder" init --quiet
    git -C "$folder" add --all
    git -C "$folder" -c user.name=ci -c user.email=ci@localhost -c commit.gpgsign=false commit --quiet -m snapshot
    touch -d "$(cat .ci/advisories.date)" "$folder/.git/FETCH_HEAD"
}

planted_advisory='```toml
[advisory]
id = "RUSTSEC-2099-0001"
package = "libc"
date = "2099-01-01"
[versions]
patched = []
```
# planted: it shows that the judge judges'

# What `cargo deny` reads. Its verdict changes with them alone, and it takes longer to compile than to judge.
deny_reads=(Cargo.lock deny.toml .ci/advisories.tar.gz)

# Advisories, licences, banned crates and sources of everything in Cargo.lock, by `cargo deny`.
dependencies() {
    install_deny
    if ! cargo deny --version >/dev/null 2>&1; then
        echo "SKIPPED: cargo-deny is not installed (cargo install cargo-deny): advisories, licences, sources and bans are not judged here"
        return 0
    fi
    echo "advisories of $(cat .ci/advisories.date): docs/DEPENDENCIES.md says how they are renewed"
    # Every crate of the lock file, those of other platforms too: then it asks the network for nothing.
    cargo fetch --quiet --locked
    unpack_advisories "$planted_advisory"
    if cargo deny --offline --all-features check advisories >"$target/ci-deny.log" 2>&1 ||
        ! grep -q 'RUSTSEC-2099-0001' "$target/ci-deny.log"; then
        cat "$target/ci-deny.log"
        echo "cargo deny has not found the advisory that was planted"
        return 1
    fi
    unpack_advisories
    cargo deny --offline --all-features check >"$target/ci-deny.log" 2>&1 || {
        cat "$target/ci-deny.log"
        return 1
    }
    tail -n 1 "$target/ci-deny.log"
    sha256sum --check --status .ci/judged.sha256 ||
        echo "write down that they are judged: sha256sum ${deny_reads[*]} >.ci/judged.sha256"
}

# The same, unless `cargo deny` has judged these very files: .ci/judged.sha256 has their digests.
dependencies_once() {
    if sha256sum --check --status .ci/judged.sha256; then
        echo "cargo deny has judged these files: ${deny_reads[*]}"
        return 0
    fi
    dependencies
}

# The crates that a registry is given, as options of cargo.
published() {
    grep -L '^publish = false' crates/*/Cargo.toml | sed 's|crates/\(.*\)/Cargo.toml|-p \1|'
}
