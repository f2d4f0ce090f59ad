# shellcheck shell=bash
#
# Functions for types that need a certain value of a kernel parameter (sysctl) of the host:
#
#     source /usr/share/systemd-netns/sysctl.bash
#
# A parameter that already has the value is not changed. Otherwise it is set, with a message, and restored
# when the last instance that needs it stops. Call these functions only in outside phases.
# /run/systemd-netns/sysctl/KEY/ contains the old values and the instances that need the new one.
# shellcheck disable=SC2154 # NSTYPE and NSNAME are set by netnsinit

_netns_sysctl_state=/run/systemd-netns/sysctl

# Sets a parameter until this instance and all others that need it have called netns_sysctl_restore. PATHs
# that the kernel or PREPARE changes with it are restored, too.
#   netns_sysctl_set KEY VALUE [-p PREPARE] [PATH...]
#     KEY      as a path below /proc/sys, such as net/ipv4/ip_forward
#     PREPARE  a command to run first, if the value differs
#     PATH     below /proc/sys
netns_sysctl_set() {
    local key=$1 value=$2 prepare='' lock
    shift 2
    if [[ ${1-} == -p ]]; then
        prepare=$2
        shift 2
    fi
    local old state=$_netns_sysctl_state/${key//\//.}
    mkdir -p "$_netns_sysctl_state"
    exec {lock}<"$_netns_sysctl_state"
    flock "$lock"
    old=$(<"/proc/sys/$key")
    if [[ -d $state ]]; then
        [[ $(<"$state/value") == "$value" ]] || {
            echo "sysctl ${key//\//.}: another instance needs $(<"$state/value"), this one $value" >&2
            return 1
        }
        : >"$state/user-$NSTYPE@$NSNAME"
    elif [[ $old != "$value" ]]; then
        # Rename it when complete, so that there is no partial record if this is killed.
        rm -rf "$state.new"
        mkdir "$state.new"
        printf '%s\n' "$key" "$@" | _netns_sysctl_read >"$state.new/was"
        echo "$value" >"$state.new/value"
        : >"$state.new/user-$NSTYPE@$NSNAME"
        mv "$state.new" "$state"
        $prepare
    fi
    # Set it again if it was changed since another instance has set it.
    if [[ $old != "$value" ]]; then
        echo "$value" >"/proc/sys/$key"
        echo "sysctl ${key//\//.}: changed from $old to $value while instances need it"
        _netns_sysctl_read <"$state/was" >"$state/is"
    fi
    exec {lock}<&-
}

# Reads lines that begin with a path and prints `PATH VALUE` for each path that exists: an interface may have
# been deleted.
_netns_sysctl_read() {
    local path value
    while read -r path _; do
        # Not $(<FILE): bash 5.2 exits if the file does not exist.
        { read -r value <"/proc/sys/$path"; } 2>/dev/null || continue
        echo "$path $value"
    done
}

# Releases every parameter that this instance needed.
netns_sysctl_restore() {
    local state lock
    [[ -d $_netns_sysctl_state ]] || return 0
    exec {lock}<"$_netns_sysctl_state"
    flock "$lock"
    for state in "$_netns_sysctl_state"/*/; do
        [[ -e ${state}user-$NSTYPE@$NSNAME ]] || continue
        rm "${state}user-$NSTYPE@$NSNAME"
        compgen -G "${state}user-*" >/dev/null || _netns_sysctl_put_back "${state%/}"
    done
    exec {lock}<&-
}

# Restores the old values of the parameters that others have not changed since.
_netns_sysctl_put_back() {
    local path old key='' set='' same='' is
    # The file does not exist if netns_sysctl_set was killed.
    if [[ -e $1/is ]]; then
        set=$(<"$1/is")
        same=$(_netns_sysctl_read <<<"$set" | grep -Fx "$set") || :
    fi
    while read -r path old; do
        { read -r is <"/proc/sys/$path"; } 2>/dev/null || continue
        if [[ -n $set && $'\n'$same$'\n' != *$'\n'"$path "* ]]; then
            [[ -n $key ]] || {
                echo "sysctl ${path//\//.}: not restored, because it was changed since"
                break
            }
        elif [[ $is != "$old" ]]; then
            echo "$old" >"/proc/sys/$path" || :
            [[ -n $key ]] || echo "sysctl ${path//\//.}: restored to $old"
        fi
        key=${key:-$path}
    done <"$1/was"
    rm -r "$1"
}

# Enables forwarding of both address families on the host, without changing other parameters.
netns_forward() {
    local key=net/ipv4/ip_forward
    local -a paths
    # The kernel resets all of these to the defaults of a router or of a host.
    mapfile -t paths < <(cd /proc/sys && printf '%s\n' net/ipv4/conf/*/{forwarding,accept_redirects})
    netns_sysctl_set "$key" 1 "${paths[@]}"
    [[ -e /proc/sys/net/ipv6 ]] || return 0
    key=net/ipv6/conf/all/forwarding
    mapfile -t paths < <(cd /proc/sys && printf '%s\n' net/ipv6/conf/*/{forwarding,accept_ra})
    netns_sysctl_set "$key" 1 -p _netns_keep_router_advertisements "${paths[@]}"
}

# A router ignores router advertisements, so the host would lose the addresses and the default route that it
# has from them. accept_ra=2 accepts them even with forwarding.
_netns_keep_router_advertisements() {
    local directory accepts forwards
    for directory in /proc/sys/net/ipv6/conf/*; do
        {
            read -r accepts <"$directory/accept_ra"
            read -r forwards <"$directory/forwarding"
            [[ $accepts != 1 || $forwards != 0 ]] || echo 2 >"$directory/accept_ra"
        } 2>/dev/null || :
    done
}
