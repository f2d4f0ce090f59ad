# shellcheck shell=bash
#
# NSTYPE nft: the packet filter of the namespace. The ruleset of the namespace, all of it, is ours.
#
# From the first check to the moment in which the rules are in force the namespace is closed, by a
# table that drops all but loopback; it stays closed when that moment does not come.
#
# netns-variables: NFT_AUTO_SAVE
# netns-programs: nft nsenter

# shellcheck disable=SC2034 # read by netnsinit: there is a default
NO_CONFIG_REQUIRED=yes

# shellcheck source=contrib/types/types.bash
source /usr/share/systemd-netns/types.bash

_nft_closed=netns_closed
# What enters the namespace, where we are not inside already.
_nft_enter=()

# Sets _nft_rules, the file with the rules of this namespace.
_nft_find_rules() {
    for _nft_rules in "/etc/conf.d/netns/nft-$NSNAME.rules" /etc/conf.d/netns/nft.rules \
        /usr/share/systemd-netns/nft.rules; do
        # A link to nothing was meant to count.
        [[ ! -e $_nft_rules && ! -L $_nft_rules ]] || return 0
    done
}

_nft_close() {
    "${_nft_enter[@]}" nft -f - <<RULES
table inet $_nft_closed
delete table inet $_nft_closed
table inet $_nft_closed {
    chain input {
        type filter hook input priority -400; policy drop;
        iifname lo accept
    }
    chain forward {
        type filter hook forward priority -400; policy drop;
    }
    chain output {
        type filter hook output priority -400; policy drop;
        oifname lo accept
    }
}
RULES
}

_nft_is_closed() {
    nft list table inet "$_nft_closed" &>/dev/null
}

# Whether systemd is about to start us again.
_nft_is_restarted() {
    [[ $(systemctl list-jobs --no-legend "netns-nft@$NSNAME.service" 2>/dev/null) == *' restart '* ]]
}

configure_nft_up_outside() {
    # First of all: whatever is wrong, it does not leave the namespace open.
    _nft_enter=(nsenter "--net=/run/netns/$NSNAME")
    _nft_close
    netns_is_on NFT_AUTO_SAVE || :
}

# The rules are checked here and not outside, so that it is netns-nft@NSNAME itself that fails.
configure_nft_up_inside() {
    local errors status=0
    _nft_find_rules
    # nft takes a name with wildcards, or a directory, for any number of files, also none.
    if [[ ! -f $_nft_rules || ! -r $_nft_rules ]]; then
        errors="$_nft_rules is no file that can be read" status=1
    elif [[ $_nft_rules == *[\"\\*?[]* ]]; then
        errors="$_nft_rules: nft cannot include a file of such a name" status=1
    else
        # One transaction puts the rules in place of all that is there, or changes nothing.
        errors=$(printf 'flush ruleset\ninclude "%s"\n' "$_nft_rules" | nft -f - 2>&1) || status=$?
        # Of the lines of nft, the one that says where and what.
        errors=$(grep -m 1 Error <<<"$errors" || echo "$_nft_rules: ${errors%%$'\n'*}")
        # An error at the end of the file is one of our line that includes it.
        [[ $errors != /dev/stdin:* ]] || errors="$_nft_rules: ${errors#* }"
    fi
    if ((status)); then
        echo "$errors: nothing but loopback works in $NSNAME from now on" >&2
        exit 6
    fi
    echo "$NSNAME has the rules of $_nft_rules"
}

configure_nft_down_inside() {
    local status=0 family table
    if _nft_is_closed; then
        echo "$NSNAME stays closed: its rules have not come into force" >&2
        return
    fi
    if netns_is_on NFT_AUTO_SAVE; then
        /usr/sbin/netns-nft-save --here "$NSNAME" || status=$?
    fi
    if _nft_is_restarted; then
        # No gap between the rules before and after.
        _nft_close
        while read -r _ family table; do
            [[ $table == "$_nft_closed" ]] || nft delete table "$family" "$table"
        done < <(nft list tables)
    else
        nft flush ruleset
    fi
    return "$status"
}
