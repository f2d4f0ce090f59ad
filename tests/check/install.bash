# shellcheck shell=bash disable=SC2154 # set by transcript
#
# Installs two of the shipped types (or those in the array `types`) and the templates,
# and generates the units of all types.

contrib=$case/../../../contrib/types
mkdir -p /usr/share/systemd-netns /usr/lib/systemd/system
[[ -v types ]] || types=(lo veth)
for type in "${types[@]}"; do
    install -m 0644 "$contrib/$type/$type.sh" -t /usr/share/systemd-netns
done
install -m 0644 "$contrib"/*.bash -t /usr/share/systemd-netns
install -m 0644 "$case"/../../../systemd/*.service -t /usr/lib/systemd/system
rm -f /etc/systemd/system/netns*
"$programs/netnsupdate" --quiet 2>/dev/null || :
