# A network for the types that join one: eth9 on the host, and lan0 in the namespace `lan`, which has the addresses
# 192.0.2.1 and 2001:db8::1.  . "${BASH_SOURCE%/*}/lan.bash"
# shellcheck shell=bash

make_lan() {
	ip netns add lan
	ip link add eth9 type veth peer name lan0 netns lan
	echo 0 >/proc/sys/net/ipv6/conf/eth9/accept_ra
	ip -n lan link set lan0 up
	ip link set eth9 up
	mkdir -p /etc/conf.d/netns
}

# address_lan INTERFACE: gives the router its addresses.
address_lan() {
	ip -n lan address add 192.0.2.1/24 dev "$1"
	ip -n lan address add 2001:db8::1/64 dev "$1" nodad
}

# serve_lan INTERFACE: gives out addresses there.
serve_lan() {
	ip netns exec lan dnsmasq --no-ping --conf-file=/dev/null --interface="$1" --bind-interfaces --port=0 \
		--pid-file=/run/lan.pid --dhcp-leasefile=/run/lan.leases --dhcp-option=option:dns-server,192.0.2.53 \
		--dhcp-range=192.0.2.100,192.0.2.150,1h --enable-ra --dhcp-range=2001:db8::100,2001:db8::1ff,slaac,64,1h
}

# remove_lan TYPE: takes all away again, whatever is left; at the end of a test that failed, shows what was said.
remove_lan() {
	(($? == 0)) || { journalctl --sync; journalctl --no-pager --quiet --output=cat --lines=60 --unit='netns*'; }
	systemctl stop "netns-$1@*" || true
	[[ ! -e /run/lan.pid ]] || kill "$(cat /run/lan.pid)" || true
	ip link delete eth9 || true
	ip netns delete lan || true
	rm -f /etc/conf.d/netns/"$1"-*.conf /run/lan.*
}

# configure TYPE-NSNAME LINE...: writes the configuration.
configure() {
	printf '%s\n' "${@:2}" >"/etc/conf.d/netns/$1.conf"
	netnsupdate --quiet
}

ping_from() { ip netns exec "$1" ping -q -c 1 -w 5 "$2"; }

# rejected TYPE 'what it says' LINE...: netnsinit must exit with 6 and say this.
rejected() {
	local type=$1 says=$2 said status=0
	shift 2
	configure "$type-bad" "$@"
	said=$(netnsinit "$type" bad up outside 2>&1) || status=$?
	echo "$said"
	((status == 6)) || fail "exit status 6 with $* ($status)"
	[[ $said == *"$says"* ]] || fail "'$says' with $*"
	rm "/etc/conf.d/netns/$type-bad.conf"
}

# What an instance must not leave behind.
traces() {
	ip -oneline link | sed -E 's/^[0-9]+: //; s/@if[0-9]+/@/; s/NO-CARRIER,|,LOWER_UP//; s/ state [A-Z]+//'
	ip -oneline address | sed -E 's/^[0-9]+: //; s/ valid_lft.*//; s/ tentative//' | sort
	ls -A /etc/netns /run/netns 2>/dev/null
	find /run/systemd-netns -type f 2>/dev/null
	pgrep -a udhcpc
	true
}

# For eventually: nothing is left but what the variable before holds, the traces of then.
# shellcheck disable=SC2154
as_before() { diff <(echo "$before") <(traces); }
