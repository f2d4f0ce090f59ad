# shellcheck shell=bash
# Progress messages for steps that take long. Sourced.

# Prints every 15 seconds, while the process PID lives, how long WHAT has taken, and the last line of LOG, if one
# is given. Run in the background; it starts no process that could outlive it.
tick() {
    local what=$1 pid=$2 log=${3-} began=$SECONDS next=$((SECONDS + 15)) line never
    exec {never}<> <(:)
    while read -r -t 0.5 -u "$never" || [[ -d /proc/$pid ]]; do
        ((SECONDS >= next)) || continue
        next=$((next + 15)) line=
        [[ ! $log ]] || line=$(tr '\r' '\n' <"$log" | grep -v '^[[:space:]]*$' | tail -n 1 | cut -c 1-100) || :
        echo "$what: $((SECONDS - began)) s${line:+: $line}" >&2
    done
}

# stop_ticking PID: ends a ticking process in the background.
stop_ticking() {
    kill "$1" 2>/dev/null || :
    wait "$1" 2>/dev/null || :
}

# follow WHAT PID LOG: waits for the background process PID, which writes to LOG, and returns its status.
follow() {
    local pid=$2 status=0 ticker
    tick "$@" </dev/null &
    ticker=$!
    wait "$pid" || status=$?
    stop_ticking "$ticker"
    return "$status"
}

# ticking WHAT LOG COMMAND...: runs COMMAND in the foreground, where an interrupt from the keyboard reaches it,
# and returns its status. LOG may be empty.
ticking() {
    local what=$1 log=$2 status=0 ticker
    tick "$what" $$ "$log" </dev/null &
    ticker=$!
    "${@:3}" || status=$?
    stop_ticking "$ticker"
    return "$status"
}
