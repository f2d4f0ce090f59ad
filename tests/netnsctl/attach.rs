//! `netnsctl attach`, `detach`, `require` and `publish` on files alone, where no systemd runs.

use crate::sandbox;

/// A type with its units, a service, and a way to tell that nothing was changed.
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

/// Runs a script of bash on such a system; gives what it printed on stderr.
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
        # What others have put there stays.
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
        fails 1 'no none.service' netnsctl attach none t@web
        fails 6 'unknown NSTYPE' netnsctl attach s u@web
        fails 1 'is not attached' netnsctl detach s
        fails 1 'there is no /etc/systemd' netnsctl unpublish web 80
        # A directory that cannot be written, one after another.
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
        fails 6 'a:b has a name' netnsctl attach s t@web
        rm '/etc/netns/web/a:b'; touch /etc/netns/web/nothing-there
        netnsctl attach s t@web 2>&1 | grep 'there is no /etc/nothing-there'
        [[ ! -e /etc/nothing-there ]]");
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
        [[ $circle == *'in a circle: t@'* ]]
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
