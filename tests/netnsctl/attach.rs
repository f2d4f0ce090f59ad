//! `netnsctl attach`, `detach`, `require` and `publish` on files, without systemd.

use crate::sandbox;

/// A type with its units, a service, and a function that checks that nothing was changed.
const SYSTEM: &str = r#"
    mkdir -p /etc/systemd/system /etc/conf.d/netns
    echo 'NO_CONFIG_REQUIRED=1' >/etc/conf.d/netns/t.sh
    touch /etc/systemd/system/netns-t@.service
    printf '[Service]\nExecStart=/bin/true\n' >/etc/systemd/system/s.service
    rm -f /etc/resolv.conf; echo 'nameserver 203.0.113.1' >/etc/resolv.conf
    printf 'passwd: files\nhosts: files resolve dns\nnetworks: files\n' >/etc/nsswitch.conf
    files() {
        find /etc/systemd /etc/netns /etc/resolv.conf /etc/nsswitch.conf -printf '%p %m %l\n' \
            -type f -exec sha256sum {} \; 2>/dev/null | sort || :
    }
    before=$(files)
    unchanged() { [[ $(files) == "$before" ]] || { files; exit 90; }; }
    fails() { # STATUS WORD COMMAND...
        local status=0 said
        said=$("${@:3}" 2>&1) || status=$?
        [[ $status == "$1" && $said == *"$2"* && $said != *$'\n'* ]] || { echo "$status: $said"; exit 91; }
        unchanged
    }
"#;

/// Runs a bash script on such a system, and returns its stderr.
fn run(script: &str) -> String {
    let output = sandbox(&format!("{SYSTEM}{script}"));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
#[ignore = "needs root"]
fn what_is_attached_is_detached_without_a_trace() {
    let said = run(r"
        netnsctl attach s t@web --strict-dns --dns 192.0.2.53
        cd /etc/systemd/system/s.service.d
        grep -qx NetworkNamespacePath=/run/netns/web 50-netns.conf
        grep -qx Requires=netns-t@web.service 50-netns.conf
        grep -qx BindReadOnlyPaths=/etc/systemd/system/s.service.d/50-netns.nsswitch:/etc/nsswitch.conf 50-netns.conf
        [[ $(<50-netns.nsswitch) == $'passwd: files\nnetworks: files\nhosts: files dns' ]]
        grep -qx 'nameserver 192.0.2.53' /etc/netns/web/resolv.conf
        grep -qx 'nameserver 203.0.113.1' /etc/resolv.conf
        # Less is asked for: less is there.
        netnsctl attach s t@web
        [[ ! -e 50-netns.nsswitch ]]
        grep -qx 'nameserver 192.0.2.53' /etc/netns/web/resolv.conf
        cd /
        netnsctl detach s
        unchanged
        netnsctl attach s t@web --print >/dev/null
        unchanged
        # Files of others are not removed.
        mkdir /etc/systemd/system/s.service.d
        before=$(files)
        netnsctl attach s t@web
        netnsctl detach s
        unchanged
        netnsctl attach s t@web --host-dns
        (! grep resolv /etc/systemd/system/s.service.d/50-netns.conf)
        [[ ! -e /etc/netns ]]");
    assert!(said.contains("systemd is not running"), "{said}");
}

#[test]
#[ignore = "needs root"]
fn what_fails_leaves_everything_as_it_was() {
    run(r#"
        fails 1 'none.service does not exist' netnsctl attach none t@web
        fails 6 'unknown NSTYPE' netnsctl attach s u@web
        fails 1 'is not attached' netnsctl detach s
        fails 1 'is not published' netnsctl unpublish web 80
        # Make one directory after another unwritable.
        mkdir /etc/systemd/system/s.service.d
        mount -t tmpfs -o ro none /etc/systemd/system/s.service.d
        before=$(files)
        fails 1 '50-netns.conf: read-only file' netnsctl attach s t@web
        umount /etc/systemd/system/s.service.d
        rmdir /etc/systemd/system/s.service.d
        chmod 0555 /etc/systemd/system
        before=$(files)
        fails 4 'ermission denied' setpriv --bounding-set -dac_override,-dac_read_search \
            "$(type -P bash)" -c "$(declare -f netnsctl); netnsctl attach s t@web"
        "#);
}

#[test]
#[ignore = "needs root"]
fn destinations_that_are_missing_are_not_made() {
    run(r"
        rm /etc/resolv.conf
        before=$(files)
        fails 6 'there is no /etc/resolv.conf' netnsctl attach s t@web
        ln -s /run/nowhere /etc/resolv.conf
        before=$(files)
        fails 6 'there is no /etc/resolv.conf' netnsctl attach s t@web
        ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
        netnsctl attach s t@web
        (! grep -x AssertPathExists=/etc/resolv.conf /etc/systemd/system/s.service.d/50-netns.conf)
        mkdir -p /etc/netns/web
        touch '/etc/netns/web/a:b' /etc/a:b
        before=$(files)
        fails 6 'cannot be named' netnsctl attach s t@web
        rm '/etc/netns/web/a:b'; touch /etc/netns/web/nothing-there
        netnsctl attach s t@web 2>&1 | grep 'no /etc/nothing-there to bind'
        [[ ! -e /etc/nothing-there ]]");
}

#[test]
#[ignore = "needs root"]
fn what_is_not_a_regular_file_blocks_nothing() {
    run(r"
        mkdir -p /etc/netns/web /etc/systemd/system/other.service.d
        mkfifo /etc/netns/web/hosts /etc/systemd/system/other.service.d/50-netns.conf
        timeout 9 $NETNSCTL attach s t@web 2>&1 | grep 'ignoring /etc/netns/web/hosts'
        timeout 9 $NETNSCTL detach s 2>&1 | grep 'other.service.d/50-netns.conf is not a regular file'
        cp /etc/systemd/system/s.service /etc/systemd/system/other.service
        before=$(files)
        fails 1 'not a regular file' timeout 9 $NETNSCTL attach other t@web
        mkfifo /etc/netns/web/resolv.conf
        before=$(files)
        fails 1 'not a regular file' timeout 9 $NETNSCTL attach s t@web
        rm /etc/netns/web/resolv.conf /etc/nsswitch.conf; mkfifo /etc/nsswitch.conf
        before=$(files)
        fails 1 'not a regular file' timeout 9 $NETNSCTL attach s t@web --strict-dns");
}

#[test]
#[ignore = "needs root"]
fn many_at_once_lose_nothing() {
    run(r"
        for name in {1..20}; do netnsctl require t@a netns_name@n$name 2>/dev/null & done
        for name in {1..9}; do netnsctl resolv-conf t@web$((name % 2)) --source s$name 192.0.2.$name & done
        wait
        [[ $(grep -c ^Requires= '/etc/systemd/system/netns_outside-t@a.service.d/60-netns-require.conf') == 20 ]]
        [[ $(grep -h nameserver /etc/netns/web?/resolv.conf | sort -u | wc -l) == 9 ]]
        for name in {1..20}; do netnsctl require t@a netns_name@n$name --remove 2>/dev/null & done
        wait
        netnsctl resolv-conf t@web0 --remove; netnsctl resolv-conf t@web1 --remove
        [[ -z $(ls /run/systemd-netns) ]]
        unchanged");
}

/// At every system call that changes something; the next command repairs what is left.
#[test]
#[ignore = "needs root"]
fn what_was_killed_can_be_run_again() {
    run(r#"
        netnsctl require t@a netns_name@b
        state() { find /etc/systemd /etc/netns -printf '%p %l
' -type f -exec sha256sum {} \; 2>/dev/null | sort || :; }
        killed() { # CALL NUMBER COMMAND...: whether it came to that
            ! { strace -qq -o /dev/null -e "trace=$1" -e "inject=$1:signal=SIGKILL:when=$2" "$NETNSCTL" "${@:3}" >/dev/null; } 2>/dev/null
        }
        while read -r make; do
            read -r undo
            start=$(state)
            netnsctl $make 2>/dev/null
            end=$(state)
            for call in '?rename,?renameat,?renameat2' '?unlink,?unlinkat' '?rmdir' '?mkdir,?mkdirat' '?symlink,?symlinkat' write pwrite64 ftruncate; do
                for command in "$undo" "$make"; do
                    for ((number = 1; number < 60; number++)); do
                        if [[ $command == "$undo" ]]; then before=$end after=$start other=$make; else before=$start after=$end other=$undo; fi
                        if ! killed "$call" "$number" $command; then
                            [[ $(state) == "$after" ]] || { echo "$command"; state; exit 90; }
                            break
                        fi
                        # Repeat it, unless it was done.
                        netnsctl $command 2>/dev/null || :
                        [[ $(state) == "$after" ]] || { echo "$call $number: $command"; diff <(state) <(echo "$after"); exit 91; }
                        netnsctl $other 2>/dev/null
                        [[ $(state) == "$before" ]] || { echo "$call $number: $other"; diff <(state) <(echo "$before"); exit 92; }
                    done
                done
                netnsctl $make 2>/dev/null || :
            done
            netnsctl $undo 2>/dev/null
        done <<'END'
attach s t@web --strict-dns --dns 192.0.2.1
detach s
publish t@web 8080-8081:80-81/udp
unpublish web 8080-8081/udp
require t@a netns_name@c
require t@a netns_name@c --remove
resolv-conf t@web 192.0.2.1
resolv-conf t@web --remove
END"#);
}

#[test]
#[ignore = "needs root"]
fn requirements_and_ports_come_and_go() {
    run(r"
        mkdir -p /usr/lib/systemd
        [[ -e /usr/lib/systemd/systemd-socket-proxyd || -e /lib/systemd/systemd-socket-proxyd ]] ||
            touch /usr/lib/systemd/systemd-socket-proxyd
        netnsctl require t@a t@b netns_name@c
        grep -qx Requires=netns_name@c.service '/etc/systemd/system/netns_outside-t@a.service.d/60-netns-require.conf'
        circle=$(netnsctl require t@b t@a 2>&1) && exit 1
        [[ $circle == *'dependency cycle: t@'* ]]
        [[ ! -e /etc/systemd/system/netns_outside-t@b.service.d ]]
        netnsctl require t@a t@b --remove
        netnsctl require t@a netns_name@c --remove
        unchanged
        netnsctl publish t@web 8080:80
        [[ -L /etc/systemd/system/netns-t@web.service.wants/netns_publish-8080@web.socket ]]
        [[ -e /etc/systemd/system/netns-t@web.service.wants/netns_publish-8080@web.socket ]]
        netnsctl unpublish web 8080
        unchanged");
}
