# Two nodes for netnsctl pods: this machine, and a namespace of its own /run, where no systemd runs. It runs the
# commands of docs/pods.md on both.
# shellcheck shell=bash

make_nodes() {
	local link node
	local try
	hostname vm-001
	# shellcheck disable=SC2016 # for the inner bash
	unshare --net --uts --mount --propagation private bash -c '
		mount -t tmpfs -o mode=755 run /run
		mount -t sysfs sysfs /sys
		hostname vm-002
		ip link set lo up
		exec sleep infinity' &
	second=$!
	for ((try = 0; try < 50; try++)); do
		[[ $(cat "/proc/$second/comm") != sleep ]] || break
		sleep 0.1
	done
	for link in eth1 eth2 eth3; do
		ip link add "$link" type veth peer name "$link" netns "$second"
		on 1 ip link set "$link" up
		on 2 ip link set "$link" up
	done
	for node in 1 2; do
		on "$node" ip address add "192.168.1.$node/24" dev eth1
		on "$node" ip address add "1000::1:192.168.1.$node/120" dev eth1 nodad
	done
	mkdir -p /etc/conf.d/netns
}

remove_nodes() {
	on 1 netnsctl pods delete || true
	on 2 netnsctl pods delete || true
	kill "$second" || true
	# The kernel deletes them with the other node, in its time.
	ip link delete eth1 2>/dev/null || true
	ip link delete eth2 2>/dev/null || true
	ip link delete eth3 2>/dev/null || true
	rm -f /etc/conf.d/netns/{pods,phys.conf,ipvlan.conf}
}

# on NODE COMMAND...
on() {
	case $1 in
	1) "${@:2}" ;;
	2) nsenter --target "$second" --net --uts --mount -- "${@:2}" ;;
	esac
}

# blocks PAGE HEADING: the commands below a heading, in files /run/blocks/N.
blocks() {
	rm -rf /run/blocks
	mkdir /run/blocks
	awk -v heading="$2" '
		/^#+ / { here = $0 ~ "^#+ " heading "$" }
		/^```$/ { inside = 0 }
		inside && here { print >sprintf("/run/blocks/%02d", number) }
		/^```sh$/ { inside = 1; number++ }' "$1"
	[[ $(ls /run/blocks) ]]
}

# topology PAGE HEADING: runs the commands on both nodes, each block on both before the next, and takes all away
# again. Nothing is left.
topology() {
	local node block before after try
	before=$(nodes_look)
	blocks "$1" "$2" || { echo "no commands below $2"; return 1; }
	for block in /run/blocks/*; do
		for node in 1 2; do
			echo "node $node:"
			cat "$block"
			on "$node" bash -e -c "$(cat "$block")" || return 1
		done
	done
	for node in 1 2; do
		on "$node" netnsctl pods route --delete || return 1
		on "$node" netnsctl pods delete || return 1
	done
	# The kernel takes its time.
	for ((try = 0; try < 50; try++)); do
		after=$(nodes_look)
		[[ $after != "$before" ]] || return 0
		sleep 0.1
	done
	diff <(echo "$before") <(echo "$after")
}

nodes_look() {
	local node
	for node in 1 2; do
		on "$node" bash -c '
			ip -oneline link | sed "s/^[0-9]*: //; s/@if[0-9]*/@/; s/NO-CARRIER,//; s/ state .*//"
			ip -4 route; ip -6 route | grep -v fe80
			cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding
			find /run/netns /run/utsns /run/systemd-netns -type f 2>/dev/null || :'
	done
}
