# The virtual machine, for mkimage and run: a snapshot loads only into the machine that made it, to the last device.
# shellcheck shell=bash disable=SC2034 # read by those who source this

# Bytes of the disk that carries tests into the guest; fixed, since its size is part of the snapshot.
disk_bytes=$((256 * 1024 * 1024))

# machine DISK CONSOLE: sets `machine` to the command line, to be run in the image directory.
# The guest's kernel writes to the file CONSOLE; the second serial port, on stdin and stdout, is ours alone, so that no
# kernel message ever lands in the middle of a status line.
machine() {
	local append=(
		console=ttyS0 panic=-1 oops=panic quiet loglevel=4 mitigations=off nokaslr no_timer_check tsc=reliable
		# Without the mask the boot waits 90 s for the serial port's device unit.
		systemd.getty_auto=0 systemd.mask=serial-getty@ttyS0.service
		systemd.condition-needs-update=0 systemd.show_status=0 net.ifnames=0
	)
	# shellcheck disable=SC2054 # QEMU's commas
	machine=(
		qemu-system-x86_64 -accel tcg,thread=multi -nodefaults -no-user-config -no-reboot -display none -m 1G -smp 2
		-kernel kernel -initrd initrd.cpio -append "${append[*]}"
		-serial "file:$2" -chardev stdio,id=port,signal=off -serial chardev:port
		-drive "if=none,id=disk,file=$1,format=raw,readonly=on" -device virtio-blk-pci,drive=disk
		# A real network card to move into a namespace; it leads nowhere.
		-netdev user,id=net,restrict=on -device virtio-net-pci,netdev=net,romfile=
	)
}

qemu_version() { qemu-system-x86_64 --version | head -n 1; }
