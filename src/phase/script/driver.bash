# shellcheck shell=bash disable=SC2154,SC2317 # more.bash is evaluated; traps and files call functions
#
# Sources the files of an instance and calls the function of one phase.
#
# Arguments: MORE REPORT FILE... NSTYPE NSNAME [PARAM...] up|down inside|outside
#   MORE    where in this text the rest begins, more.bash and gate.bash, for runs that need it
#   REPORT  a file that takes NUL-terminated words: how far the run came, and what failed where
#
# netnsinit sets errexit (for `blame` also errtrace) and puts lines before this text that shift the
# arguments up to the last FILE away and set:
#   __netns_more, __netns_report, __netns_files
#   __netns_strict  for how many files, from the first on, errexit holds for the file as a whole
#   __netns_phase   UPDOWN_INOUT; files may change these two
#   NSTYPE, NSNAME, UPDOWN, INOUT
#
# A line that ends with `#: WORD` is only there in a run that needs it, with `#: !WORD` in all others:
#   asserts       a file may call assert_non_empty
#   blame         to find out which command fails; no file looks at traps, options or functions
#   container     the first file is not bash, but has values of variables
#   exits         for blame, and a file may call `exit`
#   faults        a file may call __netns_fault
#   gated         an `up`, and a file or the caller may ask to wait
#   includes      a file sources others
#   lenient       there are files for which errexit does not hold as a whole
#   traced        a file or the caller may ask for a trace
#   unconfigured  the files must set NO_CONFIG_REQUIRED
#   undo          to call the function only if NETNS_UNDO allows it
#   waits         a gated `up inside`
#
# Names begin with __netns_, even local ones (a file may have made any other readonly), but for what
# the files may call: assert_non_empty, and __netns_fault, which the type library calls. Files may
# have functions called like builtins. Where options are set, they are put back: `set -x` of a file
# stays on in the next, and does not show our own steps.
# Bash parses this for every phase, which costs more than to run it; redirections and forks cost most.

# Not local to a function: a trap on EXIT may run when those are gone.
__netns_stage=sourcing __netns_subject=''

# Reports that the run has come to a stage: sourcing, syntax, unconfigured, gate, undefined, kept,
# calling, waiting.
__netns_enter() {
    __netns_stage=$1 __netns_subject=$2
    # `>|`: a file may have set noclobber. No function is called that netnsinit would not know of.
    builtin printf '%s\0' 3 "$$" "$1" "$2" >|"$__netns_report" || builtin exit 1
}

# Evaluates the rest of this text, which bash does not reach (__netns_main exits), and calls a function
# in it.
__netns_load() {
    builtin eval "${BASH_EXECUTION_STRING:__netns_more}"
    "$@"
}

assert_non_empty() { #: asserts
    [[ -n ${1+${!1:+set}} ]] || __netns_load __netns_refuse_empty "$@" #: asserts
} #: asserts
__netns_fault() { #: faults
    { local -; builtin set +x; } 2>/dev/null #: faults
    __netns_load __netns_tell_fault "$@" #: faults
} #: faults
# A function, because `exit` does not run the trap on ERR.
exit() { #: exits
    { local - __netns_last=$?; builtin set +x; } 2>/dev/null #: exits
    __netns_load __netns_exit "${1-$__netns_last}" #: exits
} #: exits

# Sets variables to the values in a file, which has for each, all NUL-terminated: its name; `string` and the
# string, or the number of elements of an array and these.
__netns_read_values() { #: container
    local __netns_name __netns_kind __netns_element #: container
    while IFS='' builtin read -r -d '' __netns_name; do #: container
        IFS='' builtin read -r -d '' __netns_kind #: container
        builtin unset -v "$__netns_name" #: container
        if [[ $__netns_kind == string ]]; then #: container
            IFS='' builtin read -r -d '' "${__netns_name?}" #: container
            continue #: container
        fi #: container
        builtin declare -g -a "$__netns_name=()" #: container
        for ((__netns_element = 0; __netns_element < __netns_kind; __netns_element++)); do #: container
            IFS='' builtin read -r -d '' "${__netns_name}[$__netns_element]" #: container
        done #: container
    done <"$1" #: container
} #: container

# Traces what follows if the caller or a file asks for it.
__netns_trace() { #: traced
    if [[ $__netns_options == *x* || ${NETNS_TRACE-} == 1 ]]; then builtin set -x; fi #: traced
} #: traced

__netns_main() {
    __netns_options=$- #: traced
    __netns_status=0 #: lenient
    # For the files to use.
    local __netns_values=${__netns_files[0]} #: container
    __netns_files=("${__netns_files[@]:1}") #: container
    __netns_read_values "$__netns_values" #: container
    for __netns_subject in "${__netns_files[@]}"; do
        # What fails while files are sourced is reported when it does.
        __netns_enter sourcing "$__netns_subject" #: !blame
        __netns_trace #: traced
        if ((__netns_strict-- > 0)); then #: lenient
            # shellcheck disable=SC1090
            source "$__netns_subject" "$@"
        else #: lenient
            # `||` keeps `set -e` from ending the run at a failing command of the file.
            # shellcheck disable=SC1090
            source "$__netns_subject" "$@" || __netns_status=$? #: lenient
        fi #: lenient
        { __netns_options=$-; builtin set +x; } 2>/dev/null #: traced
        if [[ $__netns_status != 0 ]]; then #: lenient
            __netns_load __netns_require_syntax #: lenient
            __netns_status=0 #: lenient
        fi #: lenient
    done
    # They take precedence over what the files set.
    __netns_read_values "$__netns_values" #: container
    if [[ -z ${NO_CONFIG_REQUIRED-} ]]; then #: unconfigured
        __netns_enter unconfigured '' #: unconfigured
        builtin exit 6 #: unconfigured
    fi #: unconfigured
    # What a file has sourced may have set a trap, which plain bash does not hand on to functions.
    builtin trap -p ERR >|"$__netns_report" #: includes
    IFS='' builtin read -r -d '' __netns_told <"$__netns_report" || : #: includes
    [[ $__netns_told == *__netns_blame* ]] || builtin set +E #: includes
    __netns_told='' #: includes

    __netns_function=configure_${NSTYPE-}_$__netns_phase
    if [[ ${NETNS_UNDO-} == no ]]; then #: undo
        __netns_enter kept "$__netns_function" #: undo
        builtin exit 0 #: undo
    fi #: undo
    if [[ -n ${NETNS_WAIT-}${NETNS_WAIT_COMMAND-}${NETNS_WAIT_TIMEOUT-} ]]; then #: gated
        __netns_load __netns_check_gate #: gated
    fi #: gated
    # `-f +i` changes nothing and prints nothing: a redirection takes longer.
    if builtin declare -f +i -- "$__netns_function"; then
        __netns_enter calling "$__netns_function"
        __netns_trace #: traced
        # Gives another status than 0 only where a file or the function has set +e.
        "$__netns_function" "${@:2:$#-3}"
        { builtin set +x; } 2>/dev/null #: traced
    else
        __netns_undefined=yes #: waits
        __netns_enter undefined "$__netns_function" #: !waits
    fi
    if [[ -n ${NETNS_WAIT-}${NETNS_WAIT_COMMAND-} ]]; then #: waits
        __netns_load __netns_pass_gate #: waits
    fi #: waits
    [[ -z ${__netns_undefined-} ]] || __netns_enter undefined "$__netns_function" #: waits
    builtin exit 0
}

__netns_blames=yes #: blame
trap '{ __netns_load __netns_blame "$?" "$BASH_COMMAND"; } 2>/dev/null' ERR #: blame
__netns_main "$@"
