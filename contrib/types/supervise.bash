# shellcheck shell=bash
#
# Functions for the daemons of a type. They run in the background until `down`, and are restarted when they
# exit.
#
#     source /usr/share/systemd-netns/types.bash
#     source /usr/share/systemd-netns/supervise.bash
#
# The daemons are in the control group of the unit. `down` also stops them without systemd.
# shellcheck disable=SC2154 # NSTYPE and NSNAME are set by netnsinit, netns_state by types.bash

# Runs a command or function in the background, and restarts it when it exits: after 1 second, then 2, 4 and
# so on up to 60, and again after 1 once it has run for a minute. NAME identifies it for
# netns_supervise_stop. The command must stay in the foreground.
#   netns_supervise NAME COMMAND [ARGUMENT...]
netns_supervise() {
    local - pid
    netns_undo netns_supervise_stop "$1"
    # In a process group of its own, to stop it as a whole.
    set -m
    # Without the output of netnsinit: its reader would wait for this process, too.
    _netns_supervise "$@" </dev/null &>/dev/null &
    pid=$!
    echo "$pid $(_netns_started "$pid")" >"$netns_state/$1.pid"
}

# Stops a command that netns_supervise runs: with SIGTERM, and after 3 seconds with SIGKILL.
#   netns_supervise_stop NAME
netns_supervise_stop() {
    local file=$netns_state/$1.pid pid started now try
    [[ -e $file ]] || return 0
    read -r pid started <"$file" || :
    rm -f "$file"
    now=$(_netns_started "$pid")
    # The PID may have been reused. If there is no such process, the process group is still ours.
    [[ -n $pid && (-z $now || $now == "$started") ]] || return 0
    for ((try = 0; try < 40; try++)); do
        # In an EXIT trap, bash does not reap children, and a zombie keeps its process group.
        [[ -n $(_netns_started "$pid") ]] || wait "$pid" 2>/dev/null || :
        case $try in
            0) kill -TERM -- "-$pid" ;;
            30) kill -KILL -- "-$pid" ;;
            *) kill -0 -- "-$pid" ;;
        esac 2>/dev/null || return 0
        sleep 0.1
    done
    echo "could not stop process group $pid of $1" >&2
    return 1
}

# Writes a line to the journal or the system log.
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
        # In a subshell, so that this loop continues if it is killed.
        ("$@")
        status=$?
        ((SECONDS - begin < 60)) || delay=1
        netns_log "$name exited with status $status; restarting it in $delay s"
        sleep "$delay"
        ((delay = delay < 30 ? delay * 2 : 60))
        # shellcheck disable=SC2034 # for the command, which may differ at a restart
        netns_again=yes
    done
}

# Prints the start time of a process, in clock ticks since boot; nothing if there is no such process.
_netns_started() {
    local stat
    local -a fields
    { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 0
    # The name of the command, in parentheses, may contain any characters.
    read -r -a fields <<<"${stat##*) }"
    # A zombie has ended.
    [[ ${fields[0]} == Z ]] || echo "${fields[19]}"
}
