# shellcheck shell=bash disable=SC2154 # driver.bash evaluates it with more.bash
#
# The gate that `up inside` passes when the network is ready for use, if a file asks for it:
#
#   NETNS_WAIT           words: ipv4, ipv6 (an address that is no longer tentative), default-route
#                        (of each family that is named, else of any)
#   NETNS_WAIT_COMMAND   a probe, asked again and again until it succeeds
#   NETNS_WAIT_TIMEOUT   seconds, 30 if not set

# Refuses what cannot be waited for, before anything is called.
__netns_check_gate() {
    local __netns_word IFS=$' \t\n'
    for __netns_word in ${NETNS_WAIT-}; do
        case $__netns_word in
            ipv4 | ipv6 | default-route) ;;
            *) __netns_refuse_gate "NETNS_WAIT=$NETNS_WAIT: '$__netns_word' is none of ipv4, ipv6, default-route" ;;
        esac
    done
    [[ ${NETNS_WAIT_TIMEOUT:-30} =~ ^[1-9][0-9]{0,4}$ ]] ||
        __netns_refuse_gate "NETNS_WAIT_TIMEOUT=$NETNS_WAIT_TIMEOUT: must be a number of seconds"
}

__netns_refuse_gate() {
    __netns_stage=gate
    __netns_tell "$1"
    builtin exit 6
}

# Waits. The report says all the time what is missing.
__netns_pass_gate() {
    [[ -n ${NETNS_WAIT-}${NETNS_WAIT_COMMAND-} ]] || return 0
    local __netns_deadline __netns_missing __netns_wanted=" ${NETNS_WAIT-} " IFS=$' \t\n'
    __netns_deadline=$(($(__netns_uptime) + ${NETNS_WAIT_TIMEOUT:-30}))
    while
        __netns_missing=$(__netns_look_at_gate)
        [[ -n $__netns_missing ]]
    do
        __netns_stage=waiting
        __netns_tell "$__netns_missing"
        (($(__netns_uptime) < __netns_deadline)) || builtin exit 1
        sleep 0.1
    done
}

# Seconds that no change of the clock disturbs, as there is one at boot.
__netns_uptime() {
    local seconds
    read -r seconds _ </proc/uptime
    echo "${seconds%.*}"
}

# Prints the first thing that is missing.
__netns_look_at_gate() {
    set +eEx
    trap - ERR EXIT
    local families=() family found
    for family in 4 6; do
        [[ $__netns_wanted != *" ipv$family "* ]] || families+=("$family")
    done
    for family in "${families[@]}"; do
        found=$(ip -o "-$family" address show scope global up)
        if [[ -z $found ]]; then
            echo "no IPv$family address"
            return
        elif [[ $found == *' dadfailed '* ]]; then
            echo "an IPv$family address that somebody else has (dadfailed)"
            return
        elif [[ $found == *' tentative '* ]]; then
            echo "an IPv$family address that is being checked (tentative)"
            return
        fi
    done
    if [[ $__netns_wanted == *' default-route '* ]]; then
        for family in "${families[@]}"; do
            if [[ -z $(ip "-$family" route show default) ]]; then
                echo "no IPv$family default route"
                return
            fi
        done
        if [[ -z $(ip -4 route show default; ip -6 route show default) ]]; then
            echo 'no default route'
            return
        fi
    fi
    if [[ -n ${NETNS_WAIT_COMMAND-} ]] && ! __netns_probe; then
        echo "no success of NETNS_WAIT_COMMAND: $NETNS_WAIT_COMMAND"
    fi
}

# Runs the probe, which may hang, in what is left of the time.
__netns_probe() {
    local output answer='' children=()
    exec {output}< <(eval "$NETNS_WAIT_COMMAND" </dev/null &>/dev/null && echo yes)
    IFS= read -r -t "$((__netns_deadline - $(__netns_uptime) + 1))" -u "$output" answer
    if [[ $answer != yes ]]; then
        # What hangs is a child of the subshell.
        read -r -a children <"/proc/$!/task/$!/children"
        kill "$!" "${children[@]}"
    fi 2>/dev/null
    exec {output}<&-
    [[ $answer == yes ]]
}
