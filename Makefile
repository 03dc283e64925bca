# Two commands on a fresh Debian 12 with Rust:  make demo   make check      While you work:  make test
# Each installs what is missing (as root, through apt; asks nothing), builds, and runs.

# Where tcmu-runner looks for handlers: Debian's multiarch folder, or Fedora's and openSUSE's lib64. And the unit that restores the
# saved LUNs at boot.
multiarch := $(shell dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || gcc -print-multiarch 2>/dev/null)
HANDLER_DIR ?= $(if $(multiarch),/usr/lib/$(multiarch)/tcmu-runner,/usr/lib64/tcmu-runner)
RESTORE_UNIT ?= $(if $(multiarch),rtslib-fb-targetctl,target)
# Where the distribution's zsh looks for completions.
ZSH_DIR ?= /usr/share/zsh/$(if $(multiarch),vendor-completions,site-functions)
UNIT_DIR ?= /usr/lib/systemd/system
DESTDIR ?=
built := $(or $(CARGO_TARGET_DIR),target)/release

.PHONY: all build demo check check-long test soak bench deb rpm vendor-tarball install uninstall clean
all: packages-build build

build:
	cargo build --release --locked --package tcmu-handler-glfs --package tcmu-glfs

# The main job, in front of your eyes: in a virtual machine (BOOT=qemu: of QEMU), or with NATIVE=1 on this one.
demo: packages-build packages-vm build
	tests/demo

# Everything that is tested; ends with a count per tier. SMP=1: instead, what puts the daemon's threads side by side, in a guest with
# two CPUs (QEMU).
check: packages-build packages-vm packages-check packages-package $(if $(SMP),packages-qemu)
	tests/check $(if $(SMP),smp)

# What hunts for defects instead of looking for known ones: fuzzers, each for a minute (SECONDS=N),
# and sanitizers.
check-long: packages-build packages-check
	FUZZ_SECONDS=$(or $(SECONDS),60) tests/check sanitize fuzz

# While you work: what needs no cluster and no guest.
test: packages-build packages-check
	tests/check style unit host

# Random faults on a cluster of three nodes, under load: half an hour or 1,000 of them. SEED=N repeats a run's faults.
soak: packages-build packages-check
	SOAK_MINUTES=$(or $(MINUTES),30) SOAK_FAULTS=$(or $(FAULTS),1000) $(if $(SEED),SOAK_SEED=$(SEED)) \
		cargo test --release --locked --test cluster -- --nocapture random_faults_lose_nothing

# The plugin against its peers and against libgfapi's limit: tables, CSV and a plot in target/bench. Half an hour; QUICK=1 takes
# five minutes, PEER=handler.so takes part, ARGS="--help" tells more.
bench: packages-build packages-vm packages-check packages-bench
	cargo build --release --locked --package tcmu-handler-glfs --package tcmu-glfs-bench
	target/release/tcmu-glfs-bench $(if $(QUICK),--quick) $(if $(PEER),--peer $(PEER)) $(ARGS)

# Packages, in target/package: from a tarball with all crates in it, without a network.
vendor-tarball: packages-build
	packaging/source
deb: packages-build packages-package
	packaging/deb
rpm: packages-build packages-package
	packaging/rpm

.PHONY: packages-build packages-vm packages-qemu packages-check packages-bench packages-package
packages-build:
	@tests/install-packages tests/packages-build
packages-vm:
	@tests/install-packages tests/vm/packages
	@[ "$$(tests/vm/boot --kind)" = uml ] || tests/install-packages tests/vm/packages-qemu
packages-qemu:
	@tests/install-packages tests/vm/packages-qemu
packages-bench:
	@tests/install-packages tests/bench/lun/packages
packages-package:
	@tests/install-packages tests/package/packages
packages-check:
	@tests/install-packages tests/packages-check

# Not renamed to handler_* before it is complete: tcmu-runner loads every file whose name begins so.
install:
	@test -r $(built)/libhandler_glfs.so || { echo "$(built)/libhandler_glfs.so is missing: run make first"; exit 1; }
	install -D -m 0644 $(built)/libhandler_glfs.so $(DESTDIR)$(HANDLER_DIR)/.glfs.so.new
	mv -f $(DESTDIR)$(HANDLER_DIR)/.glfs.so.new $(DESTDIR)$(HANDLER_DIR)/handler_glfs.so
	install -D -m 0755 $(built)/tcmu-glfs $(DESTDIR)/usr/sbin/tcmu-glfs
	rm -rf $(built)/man && mkdir $(built)/man
	$(built)/tcmu-glfs man $(built)/man
	for page in $$(find $(built)/man -name '*.[58]'); do install -D -m 0644 -t $(DESTDIR)/usr/share/man/man$${page##*.} $$page; done
	$(built)/tcmu-glfs completions bash >$(built)/man/bash && \
		install -D -m 0644 $(built)/man/bash $(DESTDIR)/usr/share/bash-completion/completions/tcmu-glfs
	$(built)/tcmu-glfs completions zsh >$(built)/man/zsh && \
		install -D -m 0644 $(built)/man/zsh $(DESTDIR)$(ZSH_DIR)/_tcmu-glfs
	$(built)/tcmu-glfs completions fish >$(built)/man/fish && \
		install -D -m 0644 $(built)/man/fish $(DESTDIR)/usr/share/fish/vendor_completions.d/tcmu-glfs.fish
	rm -rf $(built)/schemas && mkdir $(built)/schemas && $(built)/tcmu-glfs schemas $(built)/schemas
	install -D -m 0644 -t $(DESTDIR)/usr/share/tcmu-glfs/schemas $(built)/schemas/*.json
	test -e $(DESTDIR)/etc/tcmu/glfs.toml || install -D -m 0644 packaging/glfs.toml $(DESTDIR)/etc/tcmu/glfs.toml
	install -D -m 0644 packaging/logrotate $(DESTDIR)/etc/logrotate.d/tcmu-glfs
	install -D -m 0644 packaging/systemd/tcmu-runner.conf $(DESTDIR)$(UNIT_DIR)/tcmu-runner.service.d/tcmu-glfs.conf
	install -D -m 0644 packaging/systemd/restore.conf $(DESTDIR)$(UNIT_DIR)/$(RESTORE_UNIT).service.d/tcmu-glfs.conf
	install -d $(DESTDIR)/var/lib/tcmu-glfs

# Of what was installed, the site file stays: somebody may have written it.
uninstall:
	rm -f $(DESTDIR)$(HANDLER_DIR)/handler_glfs.so $(DESTDIR)/usr/sbin/tcmu-glfs $(DESTDIR)/etc/logrotate.d/tcmu-glfs
	rm -f $(DESTDIR)/usr/share/man/man[58]/tcmu-glfs*.[58] $(DESTDIR)/usr/share/bash-completion/completions/tcmu-glfs
	rm -f $(DESTDIR)$(ZSH_DIR)/_tcmu-glfs $(DESTDIR)/usr/share/fish/vendor_completions.d/tcmu-glfs.fish
	rm -rf $(DESTDIR)/usr/share/tcmu-glfs
	rm -f $(DESTDIR)$(UNIT_DIR)/tcmu-runner.service.d/tcmu-glfs.conf
	rm -f $(DESTDIR)$(UNIT_DIR)/$(RESTORE_UNIT).service.d/tcmu-glfs.conf
	rmdir $(DESTDIR)$(UNIT_DIR)/tcmu-runner.service.d $(DESTDIR)$(UNIT_DIR)/$(RESTORE_UNIT).service.d 2>/dev/null || true
	rm -rf $(DESTDIR)/var/lib/tcmu-glfs

clean:
	cargo clean
