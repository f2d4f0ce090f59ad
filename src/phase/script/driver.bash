# shellcheck shell=bash disable=SC2154,SC2317 # gate.bash is evaluated; traps and files call functions
#
# Sources the files of an instance and calls the function of one phase.
#
# Arguments: GATE REPORT FLAGS COUNT {on|off FILE}[COUNT] NSTYPE NSNAME [PARAM...] up|down inside|outside
#   GATE     the text of gate.bash, for those that use it
#   REPORT   a file that takes NUL-terminated words: how far the run came, and what failed where
#   on, off  whether errexit holds for the file as a whole
#   FLAGS    words, each between blanks:
#     blame         find out which command fails; no file looks at traps, options or functions
#     includes      a file sources others
#     traced        a file or the caller may ask for a trace
#     undo          call the function only if NETNS_UNDO allows it
#     unconfigured  the files must set NO_CONFIG_REQUIRED
#
# Names begin with __netns_, even local ones (a file may have made any other readonly), but for what
# the files may call: assert_non_empty, and __netns_fault, which the type library calls. Files may
# have functions called like builtins. Where options are set, they are put back: `set -x` of a file
# stays on in the next, and does not show our own steps.
# Redirections and forks are what time goes into: there are none that a plain function does not need.

set -e
unset -v BASH_EXECUTION_STRING
__netns_gate=$1 __netns_report=$2 __netns_flags=$3
# Not local to a function: a trap on EXIT may run when those are gone.
__netns_stage='' __netns_subject='' __netns_told=''
shift 3

# Adds to the report: how many words follow, this process, the stage, its file or function, and the
# place of a failure if there was one. A failure to do so only costs detail in a message.
__netns_tell() {
    # A child of a function may outlive netnsinit, and must not write where that once was.
    [[ $BASHPID == "$$" ]] || return 0
    builtin printf '%s\0' "$((3 + $#))" "$$" "$__netns_stage" "$__netns_subject" "$@" >>"$__netns_report" || :
}

# Reports that the run has come to a stage: sourcing, syntax, unconfigured, gate, undefined, kept,
# calling, waiting.
__netns_enter() {
    __netns_stage=$1 __netns_subject=$2
    # What fails while files are sourced is reported when it does.
    if [[ $__netns_stage == sourcing && $__netns_flags == *' blame '* ]]; then return 0; fi
    # `>|`: a file may have set noclobber. No function is called that netnsinit would not know of.
    builtin printf '%s\0' 3 "$$" "$__netns_stage" "$__netns_subject" >|"$__netns_report" || builtin exit 1
}

assert_non_empty() {
    if (($# == 0)); then
        builtin printf 'Usage: assert_non_empty VARIABLE\n' >&2
    elif [[ -z ${!1+set} ]]; then
        builtin printf 'Variable %s is not set!\n' "$1" >&2
    elif [[ -z ${!1} ]]; then
        builtin printf 'Variable %s is empty!\n' "$1" >&2
    else
        return 0
    fi
    [[ $__netns_flags != *' blame '* ]] || __netns_failed 1 "assert_non_empty $*"
    builtin exit 1
}

# Reports that a command failed, and the innermost place that is not one of our own functions.
__netns_failed() {
    local - __netns_frame=1
    builtin set +x
    while [[ ${FUNCNAME[__netns_frame]} == assert_non_empty || ${FUNCNAME[__netns_frame]} == exit ]]; do
        ((__netns_frame += 1))
    done
    if [[ ${FUNCNAME[__netns_frame]} != __netns_main ]]; then
        __netns_tell_place "$1" "$2" \
            "${BASH_SOURCE[__netns_frame]}" "${BASH_LINENO[__netns_frame - 1]}"
    elif [[ $__netns_stage == calling ]]; then
        __netns_function_failed "$1"
    else
        __netns_tell
    fi
    # Errexit would end the run here as well, but have bash complain about its own variables
    # ("pop_var_context").
    if [[ $__netns_stage == sourcing && $- == *e* ]]; then builtin exit "$1"; fi
}

# Reports that the function as a whole gave a status that no command in it was reported for: by
# `return`, or because its last line is a condition that does not hold.
__netns_function_failed() {
    local __netns_line __netns_path
    [[ $__netns_told != "$1" ]] || return 0
    IFS=' ' builtin read -r _ __netns_line __netns_path \
        < <(builtin shopt -s extdebug; builtin declare -F -- "$__netns_subject") || return 0
    __netns_tell_place "$1" 'returned by the function that begins here' \
        "$__netns_path" "$__netns_line"
}

__netns_tell_place() {
    __netns_told=$1
    __netns_tell "$@"
}

if [[ $__netns_flags == *' blame '* ]]; then
    # A function, because `exit` does not run the trap on ERR.
    exit() {
        { local - __netns_last=$?; builtin set +x; } 2>/dev/null
        builtin set -- "${1-$__netns_last}"
        # A trap on EXIT may pass on the status of the command that has ended the run.
        if [[ $1 == 0 && $__netns_stage == sourcing ]]; then
            __netns_tell
        elif [[ $1 != 0 && ! ($- == *e* && $__netns_told == "$1") ]]; then
            __netns_failed "$1" "exit $1"
        fi
        builtin exit "$1"
    }
fi

# Ends the run because of what the configuration holds, for netns_reject of the type library.
#   __netns_fault VARIABLE TEXT    TEXT is for the reader, and VARIABLE may be empty
# Does nothing where that cannot be reported: in a subshell, or before the function was called.
__netns_fault() {
    { local -; builtin set +x; } 2>/dev/null
    [[ $BASHPID == "$$" && $__netns_stage == calling ]] || return 0
    __netns_stage=fault
    __netns_tell "$@"
    # Traps on EXIT may fail too, which does not change the reason.
    __netns_tell() { :; }
    builtin exit 6
}

# Whether bash can parse a file with the options that it has come to, of which extglob counts.
__netns_parses() {
    if builtin shopt -q extglob; then
        "$BASH" -O extglob -n "$1" 2>/dev/null
    else
        "$BASH" -n "$1" 2>/dev/null
    fi
}

# Traces what follows if the caller or a file asks for it.
__netns_trace() {
    if [[ $__netns_options == *x* || ${NETNS_TRACE-} == 1 ]]; then builtin set -x; fi
}

__netns_main() {
    local __netns_count=$1
    local -a __netns_files=("${@:2:2*__netns_count}")
    shift $((1 + 2 * __netns_count))
    # shellcheck disable=SC2034 # for the files and their functions
    NSTYPE=$1 NSNAME=$2 UPDOWN=${*: -2:1} INOUT=${*: -1}
    local __netns_phase=${UPDOWN}_$INOUT

    if [[ $__netns_flags == *' blame '* ]]; then
        set -E
        trap '{ __netns_failed "$?" "$BASH_COMMAND"; } 2>/dev/null' ERR
    fi
    local __netns_status __netns_options=$- __netns_index __netns_trap
    for ((__netns_index = 0; __netns_index < 2 * __netns_count; __netns_index += 2)); do
        __netns_enter sourcing "${__netns_files[__netns_index + 1]}"
        __netns_status=0
        # `||` keeps `set -e` from ending the run at a failing command of the file.
        # shellcheck disable=SC1090
        case ${__netns_files[__netns_index]},$__netns_flags in
            on,*' traced '*)
                __netns_trace
                source "$__netns_subject" "$@"
                { __netns_options=$-; builtin set +x; } 2>/dev/null
                ;;
            off,*' traced '*)
                __netns_trace
                source "$__netns_subject" "$@" || __netns_status=$?
                { __netns_options=$-; builtin set +x; } 2>/dev/null
                ;;
            on,*) source "$__netns_subject" "$@" ;;
            off,*) source "$__netns_subject" "$@" || __netns_status=$? ;;
        esac
        if [[ $__netns_status != 0 ]] && ! __netns_parses "$__netns_subject"; then
            __netns_enter syntax "$__netns_subject"
            builtin exit 6
        fi
    done
    if [[ $__netns_flags == *' unconfigured '* && -z ${NO_CONFIG_REQUIRED-} ]]; then
        __netns_enter unconfigured ''
        builtin exit 6
    fi
    # What a file has sourced may have set a trap, which plain bash does not hand on to functions.
    if [[ $__netns_flags == *' blame '*' includes '* ]]; then
        builtin trap -p ERR >|"$__netns_report"
        IFS='' builtin read -r -d '' __netns_trap <"$__netns_report" || :
        [[ $__netns_trap == *__netns_failed* ]] || builtin set +E
    fi

    local __netns_function=configure_${NSTYPE-}_$__netns_phase
    if [[ $__netns_flags == *' undo '* && ${NETNS_UNDO-} == no ]]; then
        __netns_enter kept "$__netns_function"
        builtin exit 0
    fi
    if [[ $__netns_phase == up_* && -n ${NETNS_WAIT-}${NETNS_WAIT_COMMAND-}${NETNS_WAIT_TIMEOUT-} ]]; then
        builtin eval "$__netns_gate"
        __netns_check_gate
    fi
    if builtin declare -F -- "$__netns_function" >/dev/null; then
        __netns_enter calling "$__netns_function"
        # Gives another status than 0 only where a file or the function has set +e.
        if [[ $__netns_flags == *' traced '* ]]; then
            __netns_trace
            "$__netns_function" "${@:2:$#-3}"
            { builtin set +x; } 2>/dev/null
        else
            "$__netns_function" "${@:2:$#-3}"
        fi
        __netns_wait
    else
        __netns_wait
        __netns_enter undefined "$__netns_function"
    fi
    builtin exit 0
}

# Waits until the network is ready for use, if a file asks for it.
__netns_wait() {
    if [[ $__netns_phase == up_inside && -n ${NETNS_WAIT-}${NETNS_WAIT_COMMAND-} ]]; then
        if ! builtin declare -F __netns_pass_gate >/dev/null; then builtin eval "$__netns_gate"; fi
        __netns_pass_gate
    fi
}

__netns_main "$@"
