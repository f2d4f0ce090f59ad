# shellcheck shell=bash
#
# Daemons of a type: they run in the background until `down`, and are started again when they end.
#
#     source /usr/share/systemd-netns/types.bash
#     source /usr/share/systemd-netns/supervise.bash
#
# They stay in the control group of the unit. Without systemd, `down` ends them all the same.
# shellcheck disable=SC2154 # NSTYPE and NSNAME are set by netnsinit, netns_state by types.bash

# Runs a command or function in the background, and again whenever it ends: after 1 second, then 2, 4
# and so on up to 60, and after 1 again once it has run for a minute. NAME is a word by which
# netns_supervise_stop finds it. The command has to stay in the foreground.
#   netns_supervise NAME COMMAND [ARGUMENT...]
netns_supervise() {
    local - pid
    netns_undo netns_supervise_stop "$1"
    # A process group of its own, so that it can be ended as a whole.
    set -m
    # Not with the output of netnsinit: whoever waits for the end of that would wait for this.
    _netns_supervise "$@" </dev/null &>/dev/null &
    pid=$!
    echo "$pid $(_netns_started "$pid")" >"$netns_state/$1.pid"
}

# Ends what netns_supervise has started, if it runs: with SIGTERM, and after 3 seconds with SIGKILL.
#   netns_supervise_stop NAME
netns_supervise_stop() {
    local file=$netns_state/$1.pid pid started now try
    [[ -e $file ]] || return 0
    read -r pid started <"$file" || :
    rm -f "$file"
    now=$(_netns_started "$pid")
    # The number may be that of another process by now. If the process is gone, the group is still ours.
    [[ -n $pid && (-z $now || $now == "$started") ]] || return 0
    for ((try = 0; try < 40; try++)); do
        # In a trap on EXIT, bash leaves a child that has ended a zombie, which keeps its group.
        [[ -n $(_netns_started "$pid") ]] || wait "$pid" 2>/dev/null || :
        case $try in
            0) kill -TERM -- "-$pid" ;;
            30) kill -KILL -- "-$pid" ;;
            *) kill -0 -- "-$pid" ;;
        esac 2>/dev/null || return 0
        sleep 0.1
    done
    echo "process group $pid of $1 does not end" >&2
    return 1
}

# Writes a line into the journal, or the log of the system.
netns_log() {
    logger -t systemd-netns -- "$NSTYPE@$NSNAME: $*"
}

_netns_supervise() {
    local name=$1 delay=1 begin status
    shift
    trap - ERR EXIT
    set +eE
    while :; do
        begin=$SECONDS
        # In a child, which may be killed without ending this loop.
        ("$@")
        status=$?
        ((SECONDS - begin < 60)) || delay=1
        netns_log "$name ended with status $status; starting it again in $delay s"
        sleep "$delay"
        ((delay = delay < 30 ? delay * 2 : 60))
        # shellcheck disable=SC2034 # for the command, which may have to do more this time
        netns_again=yes
    done
}

# Prints when a process was started, in clock ticks since boot; nothing if there is no such process.
_netns_started() {
    local stat
    local -a fields
    { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 0
    # The name of the command, in parentheses, may hold anything.
    read -r -a fields <<<"${stat##*) }"
    # A zombie is as good as gone.
    [[ ${fields[0]} == Z ]] || echo "${fields[19]}"
}
