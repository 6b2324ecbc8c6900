#!/usr/bin/env bash
# Installs the package of Debian on three fresh hosts and runs a cluster there, as an operator does.
#
#     tools/fresh-root.sh [PACKAGE.deb]      the newest one of target/release-files, unless another is given
#
# The hosts are containers of systemd-nspawn in which systemd is process 1, over one root of debootstrap; a
# bridge joins them. All of it lives in namespaces of its own, which end with this script: no mount, device,
# unit or process of this machine changes. The commands are those of docs/DEPLOY.md ("With the package"), read
# from the page and run in its order, and their output is compared with what the page shows. Then everything
# that an operator relies on is tried: the watchdog, a wrong configuration, upgrades, removal.
#
# Needs root, and of Debian's packages debootstrap, systemd-container, iproute2 and openssh-client; python3 where
# there is one. The root is kept in $FRESH_ROOT (target/fresh-root, 300 MB) for the next run. It takes two minutes
# without the first download.
set -euo pipefail
cd "$(dirname "$0")/.."

target="${CARGO_TARGET_DIR:-target}"
fresh="$(realpath -m "${FRESH_ROOT:-$target/fresh-root}")"
page="$PWD/docs/DEPLOY.md"
suite="${FRESH_SUITE:-bookworm}"
packages=systemd,systemd-sysv,dbus,iproute2,procps,man-db,bash-completion,openssh-server,openssh-client

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

began=$SECONDS
ok() { echo "ok  $((SECONDS - began)) s  $*"; }

# ---------------------------------------------------------------------------- outside: what it needs

needs() {
    local program
    [ "$(id -u)" = 0 ] || fail "it needs root"
    for program in debootstrap systemd-nspawn ip unshare nsenter dpkg-deb ssh-keygen; do
        command -v "$program" >/dev/null ||
            fail "$program is not installed (apt-get install debootstrap systemd-container iproute2 openssh-client)"
    done
}

base() {
    # One of other packages is of an earlier version of this script.
    [ "$(cat "$fresh/base/.whole" 2>/dev/null)" = "$suite $packages" ] && return
    rm -rf "$fresh/base"
    mkdir -p "$fresh"
    echo "== a root of Debian $suite; its log is $fresh/debootstrap.log"
    # Without `resolv.conf` and the like of this machine: the hosts have no network but their bridge.
    debootstrap --variant=minbase --include="$packages" "$suite" "$fresh/base" >"$fresh/debootstrap.log"
    rm -f "$fresh/base/etc/resolv.conf"
    echo "$suite $packages" >"$fresh/base/.whole"
}

# The folders of control groups in which systemd of a container may make its own.
groups_of() {
    local folder
    for folder in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
        [ -e "$folder/cgroup.procs" ] && echo "$folder/$1"
    done
    return 0
}

outside() {
    local package status=0 host folder
    needs
    package="${1:-$(find "$target/release-files" -name 'lockstep_*.deb' | sort | tail -n 1)}"
    [ -f "$package" ] || fail "there is no package: tools/release.sh makes it"
    base
    unshare --mount --net --uts --ipc --pid --fork --kill-child=KILL --mount-proc \
        "$0" --inside "$(realpath "$package")" "$$" || status=$?
    # What the kernel keeps when the namespaces are gone.
    for host in 1 2 3; do
        groups_of "lockstep-fresh-$$-$host" | while read -r folder; do
            find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null || true
        done
    done
    rm -rf "$fresh/hosts"
    exit "$status"
}

# ---------------------------------------------------------------------------- inside: three hosts on a bridge

declare -A process_1
declare -A identity

network() {
    local host
    mount -t tmpfs run /run
    mkdir -p /run/netns
    ip link set lo up
    ip link add br0 type bridge mcast_snooping 0
    ip link set br0 up
    for host in 1 2 3; do
        ip netns add "host-$host"
        ip link add "p$host" type veth peer name eth0 netns "host-$host"
        ip link set "p$host" master br0 up
        ip -n "host-$host" link set lo up
        ip -n "host-$host" link set eth0 up
        ip -n "host-$host" addr add "10.77.0.$host/24" dev eth0
        ip -n "host-$host" route add default dev eth0
    done
}

# Lays the root of one host over the common one.
lay() {
    local root="$fresh/hosts/$1" other
    mkdir -p "$root/up" "$root/work" "$root/root"
    mount -t overlay overlay -o "lowerdir=$fresh/base,upperdir=$root/up,workdir=$root/work" "$root/root"
    # Root reaches each host by ssh, by its name and by its address. All have the host's key of the common root.
    mkdir -p -m 700 "$root/root/root/.ssh"
    cp "$fresh/hosts/id_ed25519" "$root/root/root/.ssh/"
    cp "$fresh/hosts/id_ed25519.pub" "$root/root/root/.ssh/authorized_keys"
    for other in 1 2 3; do
        echo "10.77.0.$other host-$other" >>"$root/root/etc/hosts"
        echo "host-$other,10.77.0.$other $(cut -d' ' -f1,2 "$fresh/base/etc/ssh/ssh_host_ed25519_key.pub")"
    done >"$root/root/root/.ssh/known_hosts"
}

# Boots one host: `boot 2`.
boot() {
    local host="$1" root="$fresh/hosts/$1" tries folder nspawn
    for folder in $(groups_of "lockstep-fresh-$run-$host"); do mkdir -p "$folder"; done
    (
        for folder in $(groups_of "lockstep-fresh-$run-$host"); do echo 0 >"$folder/cgroup.procs"; done
        exec systemd-nspawn --quiet --keep-unit --register=no --boot --link-journal=no --console=pipe \
            --directory="$root/root" --machine="host-$host" --network-namespace-path="/run/netns/host-$host" \
            --system-call-filter="landlock_create_ruleset landlock_add_rule landlock_restrict_self" \
            --bind="$fresh/hosts:/mnt" </dev/null >"$root/console" 2>&1
    ) &
    nspawn=$!
    for tries in $(seq 200); do
        process_1[$host]="$(pgrep -P "$nspawn" -x systemd || true)"
        if [ -n "${process_1[$host]}" ] && on "$host" 'systemctl is-system-running' 2>/dev/null | grep -qx running; then
            return
        fi
        sleep 0.1
    done
    fail "host $host has not booted after $tries tries: $(cat "$root/console")"
}

# Runs a script on a host, as root with what a login has.
on() {
    nsenter --all --target "${process_1[$1]}" env -i HOME=/root LC_ALL=C.UTF-8 PAGER=cat \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin sh -ec "cd; $2" </dev/null
}

# The same, repeated until it succeeds, at most a minute.
until_on() {
    local tries
    for tries in $(seq 240); do
        on "$1" "$2" >/dev/null 2>&1 && return
        sleep 0.25
    done
    fail "host $1, after $tries tries: $2: $(on "$1" "$2" 2>&1)"
}

# What a host says to a script, which may fail.
said() { on "$1" "$2" 2>&1 || true; }

# Fails unless `$2` has the text `$1`.
has() { [[ "$2" == *"$1"* ]] || fail "'$1' is not in: $2"; }

# A property of a unit: `property 1 MainPID`.
property() { on "$1" "systemctl show --value -p $2 lockstep-sequencer@$1"; }

# ---------------------------------------------------------------------------- the page

# The file that it shows, and its blocks of the section, each as a file: host, script, output.
read_page() {
    awk '/^```toml$/ { on = 1; next } /^```$/ { on = 0 } on' "$page" >"$fresh/hosts/lockstep.toml"
    mkdir -p "$fresh/hosts/blocks"
    awk -v folder="$fresh/hosts/blocks" '
        /^## / { section = /With the package/ }
        !section { next }
        /^```sh machine / { number++; name = sprintf("%s/%02d-%s", folder, number, $3); to = name ".sh"; next }
        /^```text$/ { to = name ".text"; next }
        /^```$/ { to = ""; next }
        to != "" { print > to }
    ' "$page"
}

# `…` stands for anything.
fits() {
    local pattern
    pattern="$(printf '%s' "$2" | sed -e 's/[][*?\\]/\\&/g' -e 's/…/*/g')"
    # shellcheck disable=SC2053
    [[ "$1" == $pattern ]]
}

# Runs a block on a host until its output is what the page shows: a cluster takes a moment to become healthy.
run_block() {
    local host="$1" block="$2" script text="" printed tries code
    # The page's identities stand for those that `format` prints here.
    script="$(sed -e "s/2:0b4e8d2/${identity[2]:-none}/" -e "s/3:0c1f3a7/${identity[3]:-none}/" "$block")"
    [ -f "${block%.sh}.text" ] && text="$(cat "${block%.sh}.text")"
    for tries in $(seq 40); do
        code=0
        printed="$(on "$host" "$script" 2>&1)" || code=$?
        case "$script" in *"lockstep format"*) identity[$host]="$(grep -oE '^[0-9]+:[0-9a-f]+$' <<<"$printed")" ;; esac
        text="$(sed -e "s/2:0b4e8d2/${identity[2]:-…}/" -e "s/3:0c1f3a7/${identity[3]:-…}/" <<<"$text")"
        if [ "$code" = 0 ] && { [ -z "$text" ] || fits "$printed" "$text"; }; then
            echo "host-$host# $script" && echo "$printed"
            return
        fi
        case "$script" in *"lockstep status"*) sleep 0.5 ;; *) break ;; esac
    done
    fail "host $host, $tries tries: the page shows:"$'\n'"$text"$'\n'"'$script' exits with $code and prints:"$'\n'"$printed"
}

follow_the_page() {
    local block host name
    for host in 1 2 3; do
        cp "$package" "$fresh/hosts/$host/root/root/"
        mkdir -p "$fresh/hosts/$host/root/etc/lockstep"
        cp "$fresh/hosts/lockstep.toml" "$fresh/hosts/$host/root/etc/lockstep/"
    done
    for block in "$fresh/hosts/blocks/"*.sh; do
        name="${block##*-}"
        case "${name%.sh}" in
            every) for host in 1 2 3; do run_block "$host" "$block"; done ;;
            *) run_block "${name%.sh}" "$block" ;;
        esac
    done
    ok "the page, from dpkg to a failover"
}

# ---------------------------------------------------------------------------- what an operator relies on

installed() {
    local words
    words="$(on 1 'man -P cat lockstep-sequencer')"
    has "lockstep-sequencer" "$words"
    # shellcheck disable=SC2016
    words="$(on 1 'exec bash -c ". /usr/share/bash-completion/bash_completion; _completion_loader lockstep;
        COMP_WORDS=(lockstep stat) COMP_CWORD=1; _lockstep lockstep stat lockstep; echo \${COMPREPLY[*]}"')"
    has "status" "$words"
    # Where this machine itself may raise a limit, so may a login there.
    if (ulimit -l unlimited) 2>/dev/null; then
        has "unlimited" "$(on 1 'runuser -u lockstep -- sh -c "ulimit -l"')"
    else
        echo "SKIPPED: this machine's own root may not lock more memory (no CAP_SYS_RESOURCE)"
    fi
    has "net.core.rmem_max" "$(on 1 'cat /usr/lib/sysctl.d/60-lockstep.conf')"
    has "lockstep" "$(on 1 'stat -c %U /var/lib/lockstep')"
    ok "manual pages, completions in bash, limits, sysctl, the user's folder"
}

readiness() {
    local state=""
    on 3 'systemctl stop lockstep-sequencer@3'
    has "inactive" "$(said 3 'systemctl is-active lockstep-sequencer@3')"
    has "success" "$(property 3 Result)"
    on 3 'systemctl start --no-block lockstep-sequencer@3'
    # Whenever it is active, it is in a role.
    until [ "$state" = active ]; do
        state="$(said 3 'systemctl is-active lockstep-sequencer@3')"
        [ "$state" != failed ] || fail "replica 3 does not start again: $(said 3 'journalctl -u lockstep-sequencer@3')"
    done
    has "standby" "$(on 3 'runuser -u lockstep -- lockstep counters replica-3')"
    has "standby" "$(property 3 StatusText)"
    until_on 3 'systemctl show --value -p StatusText lockstep-sequencer@3 | grep -qx "standby: ready"'
    ok "a stop is clean, a start is done when the replica is in a role; status: $(property 3 StatusText)"
}

# Waits until systemd has started the replica of a host once more than `$2` times.
restarted() {
    local from=$SECONDS
    until [ "$(property "$1" NRestarts)" -gt "$2" ] && [ "$(property "$1" ActiveState)" = active ]; do
        [ $((SECONDS - from)) -lt 90 ] || fail "nothing has started replica $1 again: $(property "$1" ActiveState)"
        sleep 0.2
    done
    has "watchdog" "$(on "$1" "journalctl -u lockstep-sequencer@$1 --since=-2min")"
    ok "$3: systemd has started it again after $((SECONDS - from)) s"
}

watchdog() {
    local main hot before
    before="$(property 3 NRestarts)"
    if command -v python3 >/dev/null; then
        main="$(on 3 'systemctl show --value -p MainPID lockstep-sequencer@3')"
        hot="$(hot_thread 3 "$main")"
        python3 - "$hot" <<'PY' &
import ctypes, os, sys
libc, thread = ctypes.CDLL(None, use_errno=True), int(sys.argv[1])
PTRACE_SEIZE, PTRACE_INTERRUPT, WALL = 0x4206, 0x4207, 0x40000000
for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
    if libc.ptrace(request, thread, None, None) != 0:
        sys.exit(f"ptrace: errno {ctypes.get_errno()}")
# Until it is dead: the kernel does not bury it before.
while os.WIFSTOPPED(os.waitpid(thread, WALL)[1]):
    pass
PY
        restarted 3 "$before" "the hot thread alone was stopped"
    else
        echo "SKIPPED: the hot thread is not stopped alone, as there is no python3"
    fi
    before="$(property 3 NRestarts)"
    on 3 'systemctl kill --kill-whom=main -s STOP lockstep-sequencer@3'
    restarted 3 "$before" "the whole process was stopped (SIGSTOP)"
    until_on 1 'runuser -u lockstep -- lockstep status'
}

# The thread of a host's process that uses most of the processor: `hot_thread 3 PID`, as the host numbers the
# process.
hot_thread() {
    local process thread
    for process in /proc/[0-9]*; do
        [ "$(readlink "$process/ns/pid")" = "$(readlink "/proc/${process_1[$1]}/ns/pid")" ] || continue
        grep -qsE "^NSpid:.*[[:space:]]$2$" "$process/status" || continue
        for thread in "$process"/task/*; do
            echo "$(awk '{ print $14 + $15 }' "$thread/stat") ${thread##*/}"
        done
    done | sort -n | tail -n 1 | cut -d' ' -f2
}

wrong_configuration() {
    on 3 'echo "nonsense = 1" >>/etc/lockstep/lockstep.toml; ! systemctl restart lockstep-sequencer@3' 2>/dev/null
    sleep 3
    has "failed" "$(property 3 ActiveState)"
    [ "$(property 3 ExecMainStatus)" = 2 ] || fail "it ended with $(property 3 ExecMainStatus)"
    # An order of the operator counts from 0.
    [ "$(property 3 NRestarts)" = 0 ] || fail "systemd started it again, whatever its configuration"
    has "nonsense" "$(on 3 'journalctl -u lockstep-sequencer@3 -n 20')"
    # So many starts in a minute are stopped by StartLimitBurst, until an operator says that he has looked.
    on 3 'sed -i "/^nonsense/d" /etc/lockstep/lockstep.toml; systemctl reset-failed; systemctl start lockstep-sequencer@3'
    until_on 1 'runuser -u lockstep -- lockstep status'
    ok "a wrong configuration: exit code 2, and no second start"
}

# The package with a newer version, and otherwise the same.
newer_package() {
    rm -rf "$fresh/hosts/newer"
    dpkg-deb --raw-extract "$package" "$fresh/hosts/newer"
    sed -i 's/^Version: .*/&+newer/' "$fresh/hosts/newer/DEBIAN/control"
    dpkg-deb --root-owner-group --build "$fresh/hosts/newer" "$fresh/hosts/newer.deb" >/dev/null
}

# Main process and number of starts of each host's replica.
processes() {
    local host
    for host in 1 2 3; do echo "$(property "$host" MainPID) $(property "$host" NRestarts)"; done
}

upgrade() {
    local before host watcher release count
    newer_package
    # shellcheck disable=SC2016
    on 1 'nohup sh -c "i=0; until [ -e /root/enough ]; do i=\$((i + 1)); echo load-\$i; sleep 0.01; done |
        runuser -u lockstep -- lockstep publish --name load" >/root/load.log 2>&1 &'
    before="$(processes)"
    for host in 1 2 3; do on "$host" "dpkg -i /root/${package##*/}" >/dev/null 2>&1; done
    for host in 1 2 3; do on "$host" 'dpkg -i /mnt/newer.deb' >/dev/null 2>&1; done
    [ "$(processes)" = "$before" ] || fail "an upgrade has touched a process: $before is now $(processes)"
    has "+newer" "$(on 2 'dpkg-query -W lockstep')"
    # A watcher that dies now is started from the program that its replica runs, which has no file any more.
    watcher="$(on 3 'systemctl show --value -p MainPID lockstep-sequencer@3 | xargs pgrep -P')"
    on 3 "kill -KILL $watcher"
    until_on 3 'systemctl show --value -p MainPID lockstep-sequencer@3 | xargs pgrep -P'
    ok "dpkg -i of the same and of a newer version, under load: no process ended, and a dead watcher was replaced"
    # The program of both packages has one version, which is the release that each node says.
    release="$(on 1 'lockstep --version' | cut -d' ' -f2)"
    rolling upgrade --to "$release" --install "'dpkg -i /mnt/newer.deb'"
    on 1 'touch /root/enough'
    until_on 1 'grep -q published /root/load.log'
    count="$(on 1 'sed -n "s/.*: \([0-9]*\) published, \1 committed.*/\1/p" /root/load.log')"
    [ -n "$count" ] || fail "not all is committed: $(on 1 'cat /root/load.log')"
    # Two were there before.
    on 2 "runuser -u lockstep -- lockstep subscribe --count $((count + 2)) 2>/dev/null" | grep -o 'load-.*' >"$fresh/hosts/read"
    cmp "$fresh/hosts/read" <(seq -f 'load-%.0f' "$count") || fail "not every message is there, once and in order"
    until_on 1 'runuser -u lockstep -- lockstep status'
    ok "then \`rolling upgrade\` by ssh: all $count messages are there, once and in order"
}

# A rolling change from host 1, by ssh to the addresses of the file: each node is another process afterwards.
rolling() {
    local before after
    before="$(processes)"
    on 1 "lockstep rolling $*" >"$fresh/hosts/rolling" 2>&1 || fail "rolling $*: $(cat "$fresh/hosts/rolling")"
    after="$(processes)"
    [ "$(comm -12 <(sort <<<"$before") <(sort <<<"$after"))" = "" ] || fail "$before is now $after: not all are other processes"
    until_on 1 'runuser -u lockstep -- lockstep status'
}

# The rest of `lockstep rolling`, with the commands that it has by default.
rolling_by_ssh() {
    local printed before step leader wrong code=0
    rolling restart --hosts 1=host-1,2=root@host-2,3=host-3
    ok "\`rolling restart\` by ssh and systemd: three other processes"
    before="$(processes)"
    printed="$(on 1 'lockstep rolling reload 2>&1')" || fail "rolling reload: $printed"
    # Keys are changed by their user, who reaches the hosts as root.
    on 1 'home="$(getent passwd lockstep | cut -d: -f6)"; cp -r /root/.ssh "$home/"; chown -R lockstep:lockstep "$home/.ssh"'
    for step in added retired; do
        printed="$(on 1 "runuser -u lockstep -- lockstep rolling keys --until $step \
            --hosts 1=root@host-1,2=root@host-2,3=root@host-3 2>&1")" || fail "rolling keys: $printed"
    done
    [ "$(processes)" = "$before" ] || fail "a reload has ended a process: $before is now $(processes)"
    until_on 1 'runuser -u lockstep -- lockstep status'
    ok "\`rolling reload\`, and \`rolling keys\` to its last step: no process ended"
    # A host whose file is wrong: the first doubt ends it, and the leader, which would be next, is not touched.
    leader="$(on 1 'runuser -u lockstep -- lockstep status' | sed -n 's/^leader *\([0-9]\).*/\1/p')"
    wrong=$((leader % 3 + 1))
    before="$(property "$leader" MainPID)"
    on "$wrong" 'echo "nonsense = 1" >>/etc/lockstep/lockstep.toml'
    printed="$(on 1 "lockstep rolling restart --only $wrong,$leader 2>&1")" || code=$?
    [ "$code" = 1 ] || fail "a host whose file is wrong: exit code $code: $printed"
    has "the restart stopped at replica $wrong" "$printed"
    [ "$(property "$leader" MainPID)" = "$before" ] || fail "the leader is another process: $printed"
    on "$wrong" "sed -i '/^nonsense/d' /etc/lockstep/lockstep.toml; systemctl reset-failed
        systemctl start lockstep-sequencer@$wrong"
    until_on 1 'runuser -u lockstep -- lockstep status'
    on 1 "lockstep rolling restart --only $leader" >/dev/null 2>&1
    [ "$(property "$leader" MainPID)" != "$before" ] || fail "the leader is the process from before"
    until_on 1 'runuser -u lockstep -- lockstep status'
    ok "a host whose file is wrong ends it at once, before the leader; mended, --only goes on"
}

removal() {
    local left
    on 3 'dpkg -L lockstep >/root/files; apt-get -q remove -y lockstep' >/dev/null 2>&1
    has "inactive" "$(said 3 'systemctl is-active lockstep-sequencer@3')"
    # shellcheck disable=SC2016
    left="$(on 3 'while read -r file; do [ -d "$file" ] || [ ! -e "$file" ] || echo "$file"; done </root/files')"
    [ "$left" = /etc/security/limits.d/lockstep.conf ] || fail "apt remove leaves $left"
    on 3 'apt-get -q purge -y lockstep' >/dev/null 2>&1
    left="$(on 3 'find / -xdev \( -name "*lockstep*" -o -xtype l -lname "*lockstep*" \) -not -path "/proc/*" \
        -not -path "/root/*" -not -path "/var/lib/lockstep/*" -not -path "/etc/lockstep/*" | sort | xargs')"
    [ "$left" = "/etc/lockstep /var/lib/lockstep" ] || fail "apt purge leaves $left"
    [ -z "$(on 3 'systemctl --failed --plain --no-legend')" ] || fail "a unit has failed"
    on 3 'dpkg -i /mnt/newer.deb && systemctl enable --now lockstep-sequencer@3' >/dev/null 2>&1
    until_on 3 'runuser -u lockstep -- lockstep status'
    ok "remove and purge leave journals, keys and configuration, and nothing else; installed again it goes on with them"
}

# What a maintainer wants to see of a run that failed.
last_words() {
    local host
    for host in "${!process_1[@]}"; do
        echo "== the journal of host $host" >&2
        said "$host" 'journalctl --no-pager --lines=40' >&2
    done
}

inside() {
    local host
    package="$1" run="$2"
    trap '[ $? = 0 ] || last_words' EXIT
    mount --make-rprivate /
    rm -rf "$fresh/hosts"
    mkdir -p "$fresh/hosts"
    ssh-keygen -q -t ed25519 -N "" -C fresh-root -f "$fresh/hosts/id_ed25519"
    network
    for host in 1 2 3; do lay "$host"; done
    for host in 1 2 3; do boot "$host"; done
    ok "three hosts have booted"
    read_page
    follow_the_page
    installed
    readiness
    watchdog
    wrong_configuration
    upgrade
    rolling_by_ssh
    removal
    echo "all good: $((SECONDS - began)) s"
}

if [ "${1:-}" = --inside ]; then
    inside "$2" "$3"
else
    outside "$@"
fi
