# Two commands on a fresh Debian 12 with Rust:  make demo   make check
# Each installs what is missing (as root, through apt; asks nothing), builds, and runs.

# Where tcmu-runner looks for handlers: Debian's multiarch folder, or Fedora's and openSUSE's lib64.
multiarch := $(shell dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || gcc -print-multiarch 2>/dev/null)
HANDLER_DIR ?= $(if $(multiarch),/usr/lib/$(multiarch)/tcmu-runner,/usr/lib64/tcmu-runner)
DESTDIR ?=
PLUGIN := target/release/libhandler_glfs.so

.PHONY: all demo check soak bench install uninstall clean
all: packages-build
	cargo build --release --locked

# The main job, in front of your eyes: in a virtual machine, or with NATIVE=1 on this one.
demo: packages-build packages-vm
	cargo build --release --locked
	tests/demo

# Everything that is tested, from fast to true; ends with a count per tier.
check: packages-build packages-vm packages-check
	tests/check

# Random faults on a cluster of three nodes, under load: half an hour or 1,000 of them. SEED=N repeats a run's faults.
soak: packages-build packages-check
	SOAK_MINUTES=$(or $(MINUTES),30) SOAK_FAULTS=$(or $(FAULTS),1000) $(if $(SEED),SOAK_SEED=$(SEED)) \
		cargo test --release --locked --test cluster -- --nocapture random_faults_lose_nothing

# The plugin against its peers and against libgfapi's limit: tables, CSV and a plot in target/bench. Half an hour; QUICK=1 takes
# five minutes, PEER=handler.so takes part, ARGS="--help" tells more.
bench: packages-build packages-vm packages-check packages-bench
	cargo build --release --locked --workspace
	target/release/tcmu-glfs-bench $(if $(QUICK),--quick) $(if $(PEER),--peer $(PEER)) $(ARGS)

.PHONY: packages-build packages-vm packages-check packages-bench
packages-build:
	@tests/install-packages tests/packages-build
packages-vm:
	@tests/install-packages tests/vm/packages
packages-bench:
	@tests/install-packages tests/bench/lun/packages
packages-check:
	@tests/install-packages tests/packages-check

# Not renamed to handler_* before it is complete: tcmu-runner loads every file whose name begins so.
install:
	@test -r $(PLUGIN) || { echo "$(PLUGIN) is missing: run make first"; exit 1; }
	install -d $(DESTDIR)$(HANDLER_DIR)
	install -m 0644 $(PLUGIN) $(DESTDIR)$(HANDLER_DIR)/.glfs.so.new
	mv -f $(DESTDIR)$(HANDLER_DIR)/.glfs.so.new $(DESTDIR)$(HANDLER_DIR)/handler_glfs.so

uninstall:
	rm -f $(DESTDIR)$(HANDLER_DIR)/handler_glfs.so

clean:
	cargo clean
