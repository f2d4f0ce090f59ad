# shellcheck shell=bash
#
# NSTYPE nft: the packet filter of the namespace.
#
# netns-variables: NFT_AUTO_SAVE
# netns-programs: nft nsenter ip

# shellcheck disable=SC2034 # read by netnsinit: there is a default
NO_CONFIG_REQUIRED=yes

# shellcheck source=contrib/types/types.bash
source /usr/share/systemd-netns/types.bash

# What closes and opens the namespace.
_nft_guard=(/usr/share/systemd-netns/nft-guard .)
[[ $INOUT == inside ]] || _nft_guard[1]=$NSNAME

# A configuration may replace any of the four functions, so none of them can be trusted with closing
# the namespace. This file is read before any configuration, in each phase: it closes the namespace
# here, and opens it at the end of `up inside`, if that has loaded rules. The units do the same once
# more, for a configuration that sets a trap on EXIT of its own.
_nft_settle() {
    local status=$?
    { set +eEx; trap - ERR; } 2>/dev/null
    if [[ $_nft_phase == up* && $_nft_loaded == no ]]; then
        "${_nft_guard[@]}" record "$_nft_newest"
    fi
    if [[ $_nft_phase$status == upinside0 ]]; then
        "${_nft_guard[@]}" open || builtin exit "$?"
    else
        "${_nft_guard[@]}" check "${_nft_tables-}"
    fi
}

_nft_phase=$UPDOWN$INOUT
# Whether `up` has really begun: netnsctl check reads this file too, and must not close anything.
if [[ $UPDOWN == up && -e $netns_state/$INOUT.begun ]]; then
    if [[ $INOUT == outside ]]; then "${_nft_guard[@]}" close; else "${_nft_guard[@]}" resume; fi
    _nft_loaded=no _nft_newest=$("${_nft_guard[@]}" newest)
    trap _nft_settle EXIT
elif [[ $UPDOWN == down && ($INOUT == inside || -e /run/netns/$NSNAME) ]]; then
    # Without a record, it was an earlier package that has loaded the rules.
    [[ -e $netns_state ]] || "${_nft_guard[@]}" adopt
    _nft_tables=$("${_nft_guard[@]}" names)
    trap _nft_settle EXIT
fi

# Sets _nft_rules, the file with the rules of this namespace.
_nft_find_rules() {
    for _nft_rules in "/etc/conf.d/netns/nft-$NSNAME.rules" /etc/conf.d/netns/nft.rules \
        /usr/share/systemd-netns/nft.rules; do
        # A link to nothing was meant to count.
        [[ ! -e $_nft_rules && ! -L $_nft_rules ]] || return 0
    done
}

# Whether nft would take these commands and the rules, in one transaction.
#   _nft_takes BEFORE [AFTER]
_nft_takes() {
    printf '%s\ninclude "%s"\n%s\n' "$1" "$_nft_rules" "${2-}" | nft -c -f - &>/dev/null
}

# Prints a line `table FAMILY NAME` for each table of the namespace that the rules make.
_nft_made_by_rules() {
    local table
    while read -r table; do
        # If it does not exist, the rules make it: then it cannot be created after them.
        if ! _nft_takes "delete $table" "create $table" && _nft_takes "delete $table"; then
            echo "$table"
        fi
    done < <(nft list tables | grep -v ' netns_closed$')
}

configure_nft_up_outside() {
    _nft_loaded=nothing
    netns_is_on NFT_AUTO_SAVE || :
}

# The rules are checked here and not outside, so that it is netns-nft@NSNAME itself that fails.
configure_nft_up_inside() {
    local errors status=0
    local -a tables
    _nft_find_rules
    # nft takes a name with wildcards, or a directory, for any number of files, also none.
    if [[ ! -f $_nft_rules || ! -r $_nft_rules ]]; then
        errors="$_nft_rules cannot be read" status=1
    elif [[ $_nft_rules == *[\"\\*?[]* ]]; then
        errors="$_nft_rules: nft cannot include a file of this name" status=1
    else
        # Replace the tables of the file, and leave those of others alone.
        mapfile -t tables < <(_nft_made_by_rules)
        errors=$({
            printf '%s\n' "${tables[@]/#/delete }"
            printf 'include "%s"\n' "$_nft_rules"
        } | nft -f - 2>&1) || status=$?
        # Of the lines of nft, the one that says where and what.
        errors=$(grep -m 1 Error <<<"$errors" || echo "$_nft_rules: ${errors%%$'\n'*}")
        # An error at the end of the file is one of our line that includes it.
        [[ $errors != /dev/stdin:* ]] || errors="$_nft_rules: ${errors#* }"
    fi
    if ((status)); then
        echo "$errors: nothing but loopback works in $NSNAME until its rules are loaded" >&2
        exit 6
    fi
    _nft_loaded=yes
    _nft_made_by_rules | "${_nft_guard[@]}" keep
    "${_nft_guard[@]}" open
    echo "loaded $_nft_rules in $NSNAME"
}

# The rules stay as long as the namespace does, for another type may keep it.
configure_nft_down_inside() {
    if netns_is_on NFT_AUTO_SAVE; then
        /usr/sbin/netns-nft-save --here "$NSNAME"
    fi
}
