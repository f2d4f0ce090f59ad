# systemd-netns: make, make install, make deb, make rpm, make arch, make demo, make check; for developers also
# make lint and make check-fresh (see CONTRIBUTING.md). Variables: see below.

PREFIX ?= /usr
SYSCONFDIR ?= /etc
DESTDIR ?=
# no: link with the shared libraries of this system
STATIC ?= yes
# the Debian releases whose systemd the tests boot: bullseye bookworm trixie sid
SUITES ?= bookworm trixie

SBINDIR = $(PREFIX)/sbin
UNITDIR = $(PREFIX)/lib/systemd/system
NETWORKDIR = $(PREFIX)/lib/systemd/network
UDEVDIR = $(PREFIX)/lib/udev/rules.d
NMDIR = $(PREFIX)/lib/NetworkManager/conf.d
TARGETDIR = $(UNITDIR)/multi-user.target.d
NFTDIR = $(UNITDIR)/netns-nft@.service.d
NFTOUTSIDEDIR = $(UNITDIR)/netns_outside-nft@.service.d
IFUPDOWNDIR = $(UNITDIR)/netns-ifupdown@.service.d
# Drop-ins for the units that run functions
BOUNDDIRS = $(UNITDIR)/netns-.service.d $(UNITDIR)/netns_outside-.service.d $(UNITDIR)/netns_name@.service.d \
	$(UNITDIR)/netns_undo.service.d
DATADIR = $(PREFIX)/share/systemd-netns
DOCDIR = $(PREFIX)/share/doc/systemd-netns
MANDIR = $(PREFIX)/share/man
BASHDIR = $(PREFIX)/share/bash-completion/completions
FISHDIR = $(PREFIX)/share/fish/vendor_completions.d
# the directory of zsh's completion functions
ZSHDIR ?= $(PREFIX)/share/zsh/$(if $(wildcard /etc/debian_version),vendor-completions,site-functions)
CONFDIR = $(SYSCONFDIR)/conf.d/netns
# the plugin directories of container runtimes: of the distribution, and of all others
CNIDIR ?= $(PREFIX)/lib/cni
OPTCNIDIR ?= /opt/cni/bin
NETAVARKDIR ?= $(PREFIX)/lib/netavark

CARGO ?= cargo
# The target of Rust, asked for when it is first used: 'tests/system/deps' may install another one before.
TARGET = $(eval TARGET := $$(shell packaging/target $(STATIC)))$(TARGET)
# The same for all targets: 'sudo make install' may not find rustc.
BUILD = target/programs
# Reproducible: without paths of the build machine.
REMAP = "--remap-path-prefix=$(CURDIR)=/usr/src/systemd-netns","--remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/usr/src/cargo"
# Static: one file for all releases of all distributions.
STATICALLY = $(if $(filter yes,$(STATIC)),"-Ctarget-feature=+crt-static"$(COMMA))
COMMA := ,
CARGOFLAGS = --locked --release --target $(TARGET) --config 'target.$(TARGET).rustflags=[$(STATICALLY)$(REMAP)]'

# netnsctl is netnsupdate and the plugin of container runtimes as well, by their names (see LINKS).
PROGRAMS = netnsinit netnsctl
TYPES = $(notdir $(wildcard contrib/types/*/*.sh))

# Every file that is installed, as MODE:SOURCE:DESTINATION, or link:TARGET:DESTINATION.
FILES = $(foreach program,$(PROGRAMS),0755:$(BUILD)/$(program):$(SBINDIR)/$(program)) \
	$(foreach unit,$(wildcard systemd/*.service systemd/*.socket systemd/*.path),0644:$(unit):$(UNITDIR)/$(notdir $(unit))) \
	$(foreach library,$(wildcard contrib/types/*.bash),0644:$(library):$(DATADIR)/$(notdir $(library))) \
	0644:contrib/types/README.md:$(DOCDIR)/types/README.md \
	0755:contrib/types/dhcp-lease:$(DATADIR)/dhcp-lease \
	0755:contrib/types/openvpn/openvpn-up:$(DATADIR)/openvpn-up \
	0644:contrib/types/default.conf:$(DOCDIR)/examples/default.conf \
	$(foreach network,$(wildcard contrib/unmanaged/*.network),0644:$(network):$(NETWORKDIR)/$(notdir $(network))) \
	0644:contrib/unmanaged/60-systemd-netns.rules:$(UDEVDIR)/60-systemd-netns.rules \
	0644:contrib/unmanaged/10-systemd-netns.conf:$(NMDIR)/10-systemd-netns.conf \
	0644:contrib/unmanaged/README.md:$(DOCDIR)/unmanaged.md \
	$(foreach type,$(TYPES:.sh=), \
		0644:contrib/types/$(type)/$(type).sh:$(DATADIR)/$(type).sh \
		0644:contrib/types/$(type)/$(type).conf:$(DOCDIR)/examples/$(type).conf \
		0644:contrib/types/$(type)/README.md:$(DOCDIR)/types/$(type).md) \
	$(foreach page,$(wildcard man/*.[578]), \
		0644:$(page):$(MANDIR)/man$(subst .,,$(suffix $(page)))/$(notdir $(page))) \
	0644:contrib/completions/netnsctl.bash:$(BASHDIR)/netnsctl \
	0644:contrib/completions/netnsctl.fish:$(FISHDIR)/netnsctl.fish \
	0644:contrib/completions/_netnsctl:$(ZSHDIR)/_netnsctl \
	link:$(SBINDIR)/netnsctl:$(CNIDIR)/netns-cni \
	link:$(SBINDIR)/netnsctl:$(OPTCNIDIR)/netns-cni \
	link:$(SBINDIR)/netnsctl:$(NETAVARKDIR)/netns \
	0755:contrib/types/nft/netns-nft-save:$(SBINDIR)/netns-nft-save \
	0644:contrib/types/nft/nft.rules:$(DATADIR)/nft.rules \
	0644:contrib/types/nft/nft.rules:$(DOCDIR)/examples/nft.rules \
	0755:contrib/types/nft/nft-guard:$(DATADIR)/nft-guard \
	$(foreach directory,$(BOUNDDIRS),0644:systemd/zz-capabilities.conf:$(directory)/zz-capabilities.conf) \
	0644:systemd/multi-user.target.d/10-systemd-netns.conf:$(TARGETDIR)/10-systemd-netns.conf \
	0644:systemd/netns-nft@.service.d/10-lo.conf:$(NFTDIR)/10-lo.conf \
	0644:systemd/netns-nft@.service.d/10-closed.conf:$(NFTDIR)/10-closed.conf \
	0644:systemd/netns_outside-nft@.service.d/10-closed.conf:$(NFTOUTSIDEDIR)/10-closed.conf \
	0644:systemd/netns-ifupdown@.service.d/10-unneeded.conf:$(IFUPDOWNDIR)/10-unneeded.conf \
	$(foreach schema,$(wildcard docs/schema/*.json),0644:$(schema):$(DOCDIR)/schema/$(notdir $(schema))) \
	0644:README.md:$(DOCDIR)/README.md \
	$(foreach page,$(wildcard docs/*.md docs/*/*.md),0644:$(page):$(DOCDIR)/$(page)) \
	0644:LICENSE:$(DOCDIR)/LICENSE
# Additional files of 'make install-compat'.
COMPAT = $(foreach unit,$(wildcard contrib/compat-systemd-netns/*.service),0644:$(unit):$(UNITDIR)/$(notdir $(unit))) \
	0644:contrib/compat-systemd-netns/README.md:$(DOCDIR)/compat-systemd-netns.md
# Additional files of packages.
PACKAGED = 0755:packaging/hook:$(DATADIR)/package-hook \
	0644:$(BUILD)/sbom.spdx.json:$(DOCDIR)/sbom.spdx.json
# and every symlink, as TARGET:LINK
LINKS = netnsctl:$(SBINDIR)/netnsupdate netnsctl:$(SBINDIR)/netns-update \
	netnsupdate.8:$(MANDIR)/man8/netns-update.8 \
	netnsctl.8:$(MANDIR)/man8/netns-nft-save.8 \
	$(foreach program,netnsinit netnsupdate netns-update, \
		netnsctl:$(BASHDIR)/$(program) netnsctl.fish:$(FISHDIR)/$(program).fish)
# Our own directories. That of the administrator is removed only if it is empty.
DIRECTORIES = $(BOUNDDIRS) $(TARGETDIR) $(NFTDIR) $(NFTOUTSIDEDIR) $(IFUPDOWNDIR) $(DATADIR) $(DOCDIR)/schema $(DOCDIR)/examples $(DOCDIR)/types $(DOCDIR)/docs/migration $(DOCDIR)/docs $(DOCDIR) $(CONFDIR) $(SYSCONFDIR)/conf.d

.PHONY: build install install-compat uninstall demo check torture check-vm check-fresh deps lint test trees package clean install-package deb rpm arch check-package bench audit

build:
	@NETNS_PREFIX='$(PREFIX)' NETNS_SYSCONFDIR='$(SYSCONFDIR)' tests/support/ticking \
		'building the programs (1 to 2 minutes the first time)' $(CARGO) build $(CARGOFLAGS) $(PROGRAMS:%=--bin %)
	@mkdir -p $(BUILD) && ln -f $(PROGRAMS:%=target/$(TARGET)/release/%) $(BUILD)
	@echo '$(PREFIX) $(SYSCONFDIR)' >$(BUILD)/built-for

# After 'make', 'sudo make install' needs no cargo, only the same PREFIX and SYSCONFDIR.
$(BUILD)/built-for: $(if $(shell command -v $(CARGO)),build)
	@[ "$$(cat $@)" = '$(PREFIX) $(SYSCONFDIR)' ] || \
		{ echo "built for PREFIX and SYSCONFDIR $$(cat $@): run make again" >&2; exit 1; }

# Text files contain paths of other files, for PREFIX /usr.
# Hyphens of manual pages have a backslash.
PLACES = s,/usr/sbin/,$(SBINDIR)/,g; s,/usr/share/systemd\\\?-netns,$(DATADIR),g; \
	s,/usr/share/doc/systemd\\\?-netns,$(DOCDIR),g; s,/etc/conf\.d/netns,$(CONFDIR),g

# Recipe: installs files, MODE:SOURCE:DESTINATION each, and adds the directories that were missing to
# $(MADE): uninstall removes only these.
MADE = $(DATADIR)/directories
install_files = set -e; [ -z '$(DESTDIR)' ] || mkdir -p '$(DESTDIR)'; made=; for file in $(1); do \
		mode=$${file%%:*}; file=$${file\#*:}; source=$${file%%:*}; file=$${file\#*:}; destination='$(DESTDIR)'$$file; \
		directory=$${file%/*}; while [ ! -d '$(DESTDIR)'$$directory ]; do \
			made="$$made $$directory"; directory=$${directory%/*}; done; \
		install -d "$${destination%/*}"; \
		case $$mode:$$source in \
		link:*) ln -sf $$source "$$destination" ;; \
		*:$(BUILD)/*) install -D -m $$mode $$source "$$destination" ;; \
		*) sed '$(PLACES)' $$source | install -D -m $$mode /dev/stdin "$$destination" ;; \
		esac; \
	done; [ -z "$$made" ] || printf '%s\n' $$made >>'$(DESTDIR)$(MADE)'

# Recipe: installs everything, and the files $(1).
install_all = $(call install_files,$(FILES) $(1)); \
	for link in $(LINKS); do ln -sf $${link%%:*} '$(DESTDIR)'$${link\#*:}; done; \
	install -d -m 0755 '$(DESTDIR)$(CONFDIR)'

install: $(BUILD)/built-for
	@$(call install_all)
	@echo "installed below $(DESTDIR)$(PREFIX)"
ifeq ($(DESTDIR),)
	$(SBINDIR)/netnsupdate --daemon-reload
endif

# For a package, which records its own directories: into DESTDIR.
install-package: $(BUILD)/built-for
	@[ -n '$(DESTDIR)' ] || { echo 'install-package needs DESTDIR' >&2; exit 1; }
	@packaging/sbom $(TARGET) $(if $(filter yes,$(STATIC)),--static) >$(BUILD)/sbom.spdx.json
	@$(call install_all,$(PACKAGED))
	@rm -f '$(DESTDIR)$(MADE)'
	@# A distribution's package leaves /opt alone; its runtimes look into CNIDIR.
	@rm -f '$(DESTDIR)$(OPTCNIDIR)/netns-cni'; rmdir -p '$(DESTDIR)$(OPTCNIDIR)' 2>/dev/null || :

# Packages, in target/packages.
deb rpm arch: build
	@tests/system/deps $@
	@packaging/build $@ target/packages

install-compat:
	@$(call install_files,$(COMPAT))
ifeq ($(DESTDIR),)
	@[ ! -d /run/systemd/system ] || systemctl daemon-reload
endif

uninstall:
ifeq ($(DESTDIR),)
	[ ! -x $(SBINDIR)/netnsupdate ] || $(SBINDIR)/netnsupdate --clean --daemon-reload
endif
	@for file in $(FILES) $(COMPAT) $(LINKS); do rm -f '$(DESTDIR)'$${file##*:}; done
	@made=$$(cat '$(DESTDIR)$(MADE)' 2>/dev/null || :); rm -f '$(DESTDIR)$(MADE)'; \
	for directory in $$(printf '%s\n' $(DIRECTORIES) $$made | sort -ru); do \
		[ ! -d '$(DESTDIR)'$$directory ] || \
			rmdir --ignore-fail-on-non-empty '$(DESTDIR)'$$directory; \
	done
	@echo "uninstalled; what you have written in $(CONFDIR) stays"

# The package that the tests lay over the tree of a machine.
PACKAGE = target/package
package:
	@rm -rf $(PACKAGE)
	@$(MAKE) --no-print-directory install DESTDIR=$(PACKAGE)

demo:
	@tests/system/deps demo
	@$(MAKE) --no-print-directory package >/dev/null
	@tests/system/demo $(PACKAGE)
	@tests/system/demo-direct $(PACKAGE)

# Measures starts and other operations. ROWS selects rows, ROUNDS sets the number of runs.
ROWS ?=
ROUNDS ?= 200
bench: deps package trees
	@tests/support/ticking 'building the bench (1 to 2 minutes the first time)' \
		$(CARGO) test --locked --no-run --bench bench
	@NETNS_TEST_PACKAGE='$(CURDIR)/$(PACKAGE)' SUITES='$(SUITES)' \
		$(CARGO) test --quiet --locked --bench bench -- --rounds $(ROUNDS) $(ROWS)

# All tests. Those that need root fail without it.
check: deps test check-package check-vm

deps:
	@tests/system/deps

# Builds the packages, and installs, upgrades and removes them.
check-package: build
	SUITES='$(SUITES)' tests/package/run

# The root trees of the machines. Built here, with progress messages, rather than by the first test of a suite.
trees:
	@for suite in $(SUITES); do tests/system/mkroot $$suite >/dev/null || exit; done

# With the usual umask: some tests run programs as another user.
test: package trees
	tests/install
	@umask 022; tests/support/ticking 'building the tests (1 to 2 minutes the first time)' \
		$(CARGO) test --locked --no-run
	umask 022; NETNS_TEST_PACKAGE='$(CURDIR)/$(PACKAGE)' SUITES='$(SUITES)' CHECK_ALL_SHELLS=yes \
		$(CARGO) test --locked --no-fail-fast -- --include-ignored
	CYCLES=40 SAMPLE=4 SEED=1 SUITES='$(firstword $(SUITES))' tests/torture/run

# Random cycles and injected faults, at most an hour; `make check` runs a short version. See tests/README.md.
torture: deps package trees
	tests/torture/run

# On Debian's own kernel, which supports kinds of links that others do not.
VM_TESTS = $(filter-out %.bash $(addprefix tests/vm/,guest mkimage run selftest), \
	$(wildcard tests/vm/*))
check-vm: package
	tests/vm/run --timeout 600 --package $(PACKAGE) $(VM_TESTS)

# The commands of README in a Debian 13 that has only cargo, git and make. COLD=yes: without the
# cache, before a release.
check-fresh:
	tests/fresh

# All shell scripts.
SCRIPTS = $(shell find src contrib tests benches packaging .ci -type f -exec awk \
	'FNR == 1 && /^\#!\/bin\/(ba)?sh/ || FNR <= 3 && /^\# shellcheck shell=bash/ { print FILENAME; nextfile }' {} +)

# rustfmt, clippy and ShellCheck. Not part of make check, because a newer clippy may find more.
lint:
	@tests/system/deps lint
	$(CARGO) fmt --check
	tests/support/ticking 'running clippy (1 to 2 minutes the first time)' \
		$(CARGO) clippy --locked --all-targets -- -D warnings
	shellcheck -x -P . $(SCRIPTS)

# Licences, sources and known vulnerabilities of all dependencies, by deny.toml. Downloads the list of vulnerabilities.
# AUDIT chooses, such as AUDIT="licenses bans sources".
AUDIT ?=
audit:
	@$(CARGO) deny --version >/dev/null 2>&1 || \
		{ echo 'cargo-deny is not installed: cargo install --locked cargo-deny' >&2; exit 1; }
	$(CARGO) deny --locked check $(AUDIT)

clean:
	$(CARGO) clean
