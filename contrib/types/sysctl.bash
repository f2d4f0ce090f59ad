# shellcheck shell=bash
#
# Switches of the kernel that the whole host shares, for types that need one of them:
#
#     source /usr/share/systemd-netns/sysctl.bash
#
# A switch that stands as needed is left alone. Otherwise it is set, which is said, and the last
# instance that needs it sets it back. Only phases that run outside may call these functions.
# /run/systemd-netns/sysctl/KEY/ holds what the values were, and who needs the one that was set.
# shellcheck disable=SC2154 # NSTYPE and NSNAME are set by netnsinit

_netns_sysctl_state=/run/systemd-netns/sysctl

# Sets a sysctl until this instance, and every other that needs it, calls netns_sysctl_restore.
# Paths that change by themselves along with it, or that must be set by PREPARE, are put back too.
#   netns_sysctl_set KEY VALUE [-p PREPARE] [PATH...]
#     KEY      as a path below /proc/sys, such as net/ipv4/ip_forward
#     PREPARE  a command that is run right before, if the value differs
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
            echo "sysctl ${key//\//.}: another instance needs it to be $(<"$state/value"), this one $value" >&2
            return 1
        }
        : >"$state/user-$NSTYPE@$NSNAME"
    elif [[ $old != "$value" ]]; then
        # All of it in one step: whoever is killed in the middle leaves a whole record, or none.
        rm -rf "$state.new"
        mkdir "$state.new"
        printf '%s\n' "$key" "$@" | _netns_sysctl_read >"$state.new/was"
        echo "$value" >"$state.new/value"
        : >"$state.new/user-$NSTYPE@$NSNAME"
        mv "$state.new" "$state"
        $prepare
    fi
    # Also where another has set it, and somebody else has changed it since.
    if [[ $old != "$value" ]]; then
        echo "$value" >"/proc/sys/$key"
        echo "sysctl ${key//\//.} was $old, is $value until no instance needs it"
        _netns_sysctl_read <"$state/was" >"$state/is"
    fi
    exec {lock}<&-
}

# Prints a line `PATH VALUE` for each line that begins with a path, less those that are gone by then:
# interfaces come and go meanwhile.
_netns_sysctl_read() {
    local path value
    while read -r path _; do
        # Not $(<FILE), which ends bash 5.2 if the file is missing.
        { read -r value <"/proc/sys/$path"; } 2>/dev/null || continue
        echo "$path $value"
    done
}

# Gives up every sysctl that this instance has needed.
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

# Writes the values that were, less those that somebody else has changed meanwhile.
_netns_sysctl_put_back() {
    local path old key='' set='' same='' is
    # Missing if whoever set it was killed.
    if [[ -e $1/is ]]; then
        set=$(<"$1/is")
        same=$(_netns_sysctl_read <<<"$set" | grep -Fx "$set") || :
    fi
    while read -r path old; do
        { read -r is <"/proc/sys/$path"; } 2>/dev/null || continue
        if [[ -n $set && $'\n'$same$'\n' != *$'\n'"$path "* ]]; then
            [[ -n $key ]] || {
                echo "sysctl ${path//\//.} was changed by somebody else, and is left alone"
                break
            }
        elif [[ $is != "$old" ]]; then
            echo "$old" >"/proc/sys/$path" || :
            [[ -n $key ]] || echo "sysctl ${path//\//.} is $old again"
        fi
        key=${key:-$path}
    done <"$1/was"
    rm -r "$1"
}

# Has the host forward packets of both families, with all else as it was.
netns_forward() {
    local key=net/ipv4/ip_forward
    local -a paths
    # Setting it gives all of these the values of a router, or of a host.
    mapfile -t paths < <(cd /proc/sys && printf '%s\n' net/ipv4/conf/*/{forwarding,accept_redirects})
    netns_sysctl_set "$key" 1 "${paths[@]}"
    [[ -e /proc/sys/net/ipv6 ]] || return 0
    key=net/ipv6/conf/all/forwarding
    mapfile -t paths < <(cd /proc/sys && printf '%s\n' net/ipv6/conf/*/{forwarding,accept_ra})
    netns_sysctl_set "$key" 1 -p _netns_keep_router_advertisements "${paths[@]}"
}

# A router takes no router advertisements, so the host would lose the addresses and the default
# route that it has from them, were it not for the value 2: take them all the same.
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
