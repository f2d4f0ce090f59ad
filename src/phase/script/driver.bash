# shellcheck shell=bash
#
# Sources the files of an instance and calls the function of one phase.
#
# Arguments: REPORT UNCONFIGURED COUNT FILE[COUNT] FUNCTION NSTYPE NSNAME [PARAM...] up|down inside|outside
#   REPORT        a file that takes NUL-terminated words: how far the run came, and what failed where
#   UNCONFIGURED  'yes': the first file is a script that must set NO_CONFIG_REQUIRED
#
# Names begin with __netns_, even local ones (a file may have made any other readonly), but for what
# the files may call: assert_non_empty. The type library calls __netns_fault. `exit` is a function so that the place of a deliberate exit
# can be told. Where options are set, they are put back:
# `set -x` of a file stays on in the next, and does not show our own steps.

set -e
BASH_ARGV0=netnsinit
__netns_report=$1
# Not local to a function: a trap on EXIT may run when those are gone.
__netns_stage='' __netns_file='' __netns_told=''
shift

# Writes the report: the stage, its file, and the place of a failure if there was one.
# A failure to do so only costs detail in a message.
__netns_tell() {
    # A child of a function may outlive netnsinit, and must not write where that once was.
    [[ $BASHPID == "$$" ]] || return 0
    # `>|`: a file may have set noclobber.
    builtin printf '%s\0' "$__netns_stage" "$__netns_file" "$@" 2>/dev/null >|"$__netns_report" || :
}

# Reports that the run has come to a stage: sourcing, syntax, unconfigured, gate, undefined,
# calling, waiting.
__netns_enter() {
    __netns_stage=$1
    __netns_tell
}

# Reports that a command failed, and the innermost place that is not one of our own functions.
__netns_failed() {
    local - __netns_frame=1
    set +x
    while [[ ${FUNCNAME[__netns_frame]} == assert_non_empty || ${FUNCNAME[__netns_frame]} == exit ]]; do
        ((__netns_frame += 1))
    done
    # The last frame is this file; a function of the files may be called main, too.
    if ((__netns_frame == ${#FUNCNAME[@]} - 1)); then
        return
    elif [[ ${FUNCNAME[__netns_frame]} == __netns_main ]]; then
        __netns_function_failed "$1"
    else
        __netns_tell_place "$1" "$2" \
            "${BASH_SOURCE[__netns_frame]}" "${BASH_LINENO[__netns_frame - 1]}"
    fi
}

# Reports that the function as a whole gave a status that no command in it has been told for: by
# `return`, or because its last line is a condition that does not hold.
__netns_function_failed() {
    local __netns_line __netns_path
    [[ $__netns_told != "$1" ]] || return 0
    IFS=' ' read -r _ __netns_line __netns_path \
        < <(shopt -s extdebug; declare -F -- "$__netns_function") || return 0
    __netns_tell_place "$1" 'returned by the function that begins here' \
        "$__netns_path" "$__netns_line"
}

__netns_tell_place() {
    __netns_told=$1
    __netns_tell "$@"
}

exit() {
    { local - __netns_last=$?; set +x; } 2>/dev/null
    set -- "${1-$__netns_last}"
    # A trap on EXIT may pass on the status of the command that has ended the run.
    if [[ $1 != 0 && ! ($- == *e* && $__netns_told == "$1") ]]; then
        __netns_failed "$1" "exit $1"
    fi
    builtin exit "$1"
}

assert_non_empty() {
    if (($# == 0)); then
        printf 'Usage: assert_non_empty VARIABLE\n' >&2
    elif [[ -z ${!1+set} ]]; then
        printf 'Variable %s is not set!\n' "$1" >&2
    elif [[ -z ${!1} ]]; then
        printf 'Variable %s is empty!\n' "$1" >&2
    else
        return 0
    fi
    __netns_failed 1 "assert_non_empty $*"
    builtin exit 1
}

# Ends the run because of what the configuration holds, for netns_reject of the type library.
#   __netns_fault VARIABLE TEXT    TEXT is for the reader, and VARIABLE may be empty
# Does nothing where that cannot be reported: in a subshell, or before the function was called.
__netns_fault() {
    { local -; set +x; } 2>/dev/null
    [[ $BASHPID == "$$" && $__netns_stage == calling ]] || return 0
    __netns_stage=fault
    __netns_tell "$@"
    # Traps on EXIT may fail too, which does not change the reason.
    # shellcheck disable=SC2317
    __netns_tell() { :; }
    builtin exit 6
}

# Whether bash can parse a file with the options that it has come to, of which extglob counts.
__netns_parses() {
    if shopt -q extglob; then
        "$BASH" -O extglob -n "$1" 2>/dev/null
    else
        "$BASH" -n "$1" 2>/dev/null
    fi
}

__netns_main() {
    local __netns_unconfigured=$1 __netns_count=$2
    local -a __netns_files=("${@:3:__netns_count}")
    local __netns_function=${*:3+__netns_count:1}
    shift $((3 + __netns_count))
    # shellcheck disable=SC2034 # for the files and their functions
    NSTYPE=$1 NSNAME=$2 UPDOWN=${*: -2:1} INOUT=${*: -1}

    local __netns_status=0 __netns_flags=$-
    for __netns_file in "${__netns_files[@]}"; do
        __netns_enter sourcing
        __netns_status=0
        if [[ $__netns_flags == *x* || ${NETNS_TRACE-} == 1 ]]; then set -x; fi
        # `||` keeps `set -e` from ending the run at a failing command of the file.
        # shellcheck disable=SC1090
        source "$__netns_file" "$@" || __netns_status=$?
        { __netns_flags=$-; set +x; } 2>/dev/null
        if [[ $__netns_status != 0 ]] && ! __netns_parses "$__netns_file"; then
            __netns_enter syntax
            builtin exit 6
        fi
        if [[ $__netns_unconfigured == yes && -z ${NO_CONFIG_REQUIRED-} ]]; then
            __netns_enter unconfigured
            builtin exit 6
        fi
        __netns_unconfigured=no
    done

    if [[ $UPDOWN == up ]]; then __netns_check_gate; fi
    if ! declare -F -- "$__netns_function" >/dev/null; then
        if [[ $UPDOWN$INOUT == upinside ]]; then __netns_pass_gate; fi
        __netns_enter undefined
        builtin exit 0
    fi
    __netns_enter calling
    # A file may have set a trap of its own, and must find it as it was set.
    if [[ -z $(trap -p ERR) ]]; then
        set -E
        trap '{ __netns_failed "$?" "$BASH_COMMAND"; } 2>/dev/null' ERR
    fi
    if [[ $__netns_flags == *x* || ${NETNS_TRACE-} == 1 ]]; then set -x; fi
    "$__netns_function" "$NSNAME" "${@:3:$#-4}"
    # Reached with another status than 0 only where a file has set +e.
    { __netns_status=$?; set +x; } 2>/dev/null
    if [[ $__netns_status$UPDOWN$INOUT == 0upinside ]]; then __netns_pass_gate; fi
    return "$__netns_status"
}

__netns_main "$@"
