# What a person or a CI machine does with Waitless. `make help` lists it.
#
# Everything here is plain cargo underneath; what is missing is set up first, quietly.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

# Where `build/setup/setup.sh` puts the toolchain when there is no rustup to select it.
ifeq ($(shell command -v rustup),)
cache = $(or $(XDG_CACHE_HOME),$(HOME)/.cache)
export PATH := $(or $(WAITLESS_TOOLCHAIN),$(cache)/waitless/toolchain)/bin:$(PATH)
endif

# The variant that somebody chose: then that one alone is tested.
chosen = $(if $(filter undefined,$(origin $(1))),,$($(1)))
one-arch := $(call chosen,ARCH)
one-platform := $(call chosen,PLATFORM)

APP       ?=
PLATFORM  ?= qemu
RUNNER    ?=
NET       ?= user
HTTP_PORT ?=
HTTPS_PORT ?=
UDP_PORT  ?=
MEMORY    ?=
CORES     ?=
MACHINE   ?=
SET       ?=
NIC       ?=
FIRMWARE  ?=
ARCH      ?= x86_64
TARGET    ?= $(ARCH)-waitless
FUZZ_SECONDS ?= 60
MINUTES   ?= 10
AT_ONCE   ?= 6
WAY       ?=
FUZZ_TARGET ?=
# Of `make bench`.
WORKLOAD ?=
SECONDS := 4
RUNS ?= 3
KVM ?=
DROP ?=
ONLY ?=
OF ?=
SEEDS ?= 5000

# Says what it compiles the first time, when that takes a while.
built := $(wildcard $(or $(CARGO_TARGET_DIR),target)/debug/waitless-build)
waitless-build = cargo run $(if $(built),--quiet) --package build --
# What exists in images only, and is checked for their target.
bare = platform-machine platform-$(1)

# Each word of SET as an option of its own, as it is: the shell would part it at `;`.
set-words = $(foreach word,$(SET),--set '$(subst ','\'',$(word))')

# The output of setup, less the lines that say that there was nothing to do.
# Said here too, because macOS's make is older than .SHELLFLAGS.
set-up = set -o pipefail; build/setup/setup.sh $(1) | { grep -v '^setup: ready' || true; }

##@ To use it

.PHONY: help
help: ## this list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\nVariables of `make run`; `make image` takes APP and ARCH, `make iso` APP:\n'
	@printf '  %-26s %s\n' \
	  'APP=hello' 'an app of apps/; the root waitless.toml otherwise' \
	  'PLATFORM=qemu|iso|native' 'a virtual machine, one with a CD, or a process' \
	  'PLATFORM=hvf' 'macOS on Apple silicon, by a runner of our own' \
	  'RUNNER=qemu' 'on hvf, QEMU instead of that runner' \
	  'FIRMWARE=bios|uefi' 'what boots the CD' \
	  'NET=user|tap' "QEMU's user network (no root needed), or a tap" \
	  'HTTP_PORT=8080' "the host's port that leads to the guest's HTTP" \
	  'HTTPS_PORT=8443' "the host's port that leads to the guest's HTTPS" \
	  'UDP_PORT=7007' "the host's port that leads to the guest's UDP echo" \
	  'MEMORY=64M' "the guest's memory" \
	  'SET="http.port=81"' 'keys that are set at boot, see docs/manifest.md' \
	  'CORES=4' "the guest's processors" \
	  'ARCH=x86_64|aarch64' 'what the image is built for, and QEMU emulates' \
	  'MACHINE=q35|pc|microvm' 'the machine, of x86_64' \
	  'NIC=virtio-pci|virtio-mmio' 'where the network card is; by the machine otherwise'
	@printf '\nOf `make bench`:\n'
	@printf '  %-26s %s\n' \
	  'WORKLOAD=health,tls' 'parts of names of workloads; `all` for those that take long too' \
	  'SECONDS=4 RUNS=3' 'how long each load lasts, how often each contender is booted' \
	  'ONLY=waitless,hyper' 'who takes part' \
	  'DROP=20' 'figures are dropped when others took more per cent of the machine' \
	  'KVM=1' "with the processor's help" \
	  'CORES=1 MEMORY=512M' "the guests'" \
	  'ARCH=aarch64' 'our image alone, on 64-bit Arm' \
	  'PLATFORM=native' 'processes on this kernel, not guests' \
	  'OF="/download?bytes=65536"' 'what `make profile` asks for; /health otherwise'
	@printf '\nOf `make test`: ARCH=aarch64, PLATFORM=iso, or both, for the images of that variant.\n'
	@printf 'Of `make fuzz`: FUZZ_SECONDS=60 for each target, FUZZ_TARGET=http for one.\n'

.PHONY: doctor
doctor: ## says what this machine can run, and what is missing for the rest
	@command -v cargo >/dev/null || \
	  { echo 'error: there is no cargo; next: https://rustup.rs' >&2; exit 1; }
	@$(waitless-build) doctor

.PHONY: setup
setup: ## installs and composes what is missing to build and run images
	@build/setup/setup.sh

.PHONY: run
run: platform-is-here arch-fits ## builds and boots an image, prints its URLs; ends with Ctrl-C
	@$(call set-up,$(if $(filter native hvf,$(PLATFORM)),build))
	@$(if $(filter iso,$(PLATFORM)),$(call set-up,iso),true)
	@$(waitless-build) run $(if $(APP),--app $(APP)) --platform $(PLATFORM) --net $(NET) \
	  $(if $(filter qemu,$(PLATFORM)),--arch $(ARCH)) \
	  $(if $(filter hvf,$(PLATFORM)),$(addprefix --arch ,$(one-arch))) \
	  $(if $(HTTP_PORT),--http-port $(HTTP_PORT)) $(if $(UDP_PORT),--udp-port $(UDP_PORT)) \
	  $(if $(HTTPS_PORT),--https-port $(HTTPS_PORT)) $(if $(RUNNER),--runner $(RUNNER)) \
	  $(if $(MEMORY),--memory $(MEMORY)) $(if $(CORES),--cores $(CORES)) \
	  $(if $(MACHINE),--machine $(MACHINE)) $(if $(NIC),--nic $(NIC)) \
	  $(if $(FIRMWARE),--firmware $(FIRMWARE)) $(set-words)

.PHONY: iso
iso: arch-of-iso ## makes a bootable ISO and says where it is
	@$(call set-up,build)
	@$(call set-up,iso)
	@$(waitless-build) iso $(if $(APP),--app $(APP)) --platform iso

.PHONY: image
image: ## builds an image and says where it is
	@$(call set-up,build)
	@cargo build --release $(if $(APP),--package $(APP)) --target $(TARGET)
	@ls -l '$(or $(CARGO_TARGET_DIR),target)/$(TARGET)/release/$(or $(APP),webserver)'

##@ To work on it

.PHONY: check
check: ready-to-build ## the fast part of the tests: formatting, lints, tidiness, unit tests
	@$(stage) formatting cargo fmt --all --check
	@$(stage) lints sh -c '$(lints)'
	@$(stage) 'unit tests' $(unwinding) cargo test --quiet --workspace --exclude waitless-tests
	@$(stage) tidiness $(unwinding) cargo test --quiet --package waitless-tests --lib --test tidy

.PHONY: test
test: ready-to-test platform-exists ## everything that CI runs; with ARCH=, PLATFORM=: one variant
	@rm -rf $(summary) $(summary).d $(skipped)
	@$(MAKE) $(if $(one-arch)$(one-platform),test-variant,test-everything) || failed=$$?; \
	  $(summed-up); exit $${failed:-0}

.PHONY: test-all
test-all: ready-to-test ## the same, and every machine, firmware, transport, number of cores
	@rm -rf $(summary) $(summary).d $(skipped)
	@{ $(MAKE) test-everything && $(stage) 'attackers for longer' $(peers) -- long && \
	  $(stage) 'a million connections' env WAITLESS_CROWD=1000000 \
	    $(tests) --test crowd && \
	  $(stage) 'matrix of machines' $(image-tests) -- matrix && \
	  $(stage) "goodput beside the kernel's" $(image-tests) -- long; } || \
	  failed=$$?; $(summed-up); exit $${failed:-0}

.PHONY: soak
soak: ready-to-test ## an image under load and faults for MINUTES=10, with ARCH, CORES and NIC
	@WAITLESS_SOAK_MINUTES=$(MINUTES) WAITLESS_SOAK_ARCH=$(ARCH) WAITLESS_SOAK_CORES=$(CORES) \
	  WAITLESS_SOAK_NIC=$(NIC) $(tests) --test soak

.PHONY: soak-all
soak-all: ready-to-test ## the same for every way to boot on 1, 2 and 4 cores, AT_ONCE=6 of them
	@WAITLESS_SOAK_MINUTES=$(MINUTES) WAITLESS_SOAK_AT_ONCE=$(AT_ONCE) WAITLESS_SOAK_WAY='$(WAY)' \
	  $(tests) --test soak -- 'every way'

.PHONY: fmt
fmt: ready-to-build ## formats all Rust code
	@cargo fmt --all
	@cargo fmt --manifest-path tests/fuzz/Cargo.toml

.PHONY: lint
lint: ready-to-build ## clippy with warnings denied
	@$(lints)
	@$(image-lints)
	@$(hvf-lints)

.PHONY: doc
doc: ready-to-build ## builds the API documentation
	@$(docs)
	@echo "target/doc/waitless/index.html"

.PHONY: fuzz
fuzz: ready-to-build ## fuzzes every parser, guided by coverage
	@tests/fuzz/run $(FUZZ_SECONDS) $(FUZZ_TARGET)

.PHONY: sim
sim: ready-to-build ## simulates an app (hello) on thousands of bad wires; SEEDS=5000
	@$(call simulations,$(SEEDS))

.PHONY: bench
bench: ready-to-test ## measures beside Linux, smoltcp, rustls; the tables in docs/performance.md
	@$(if $(WORKLOAD),true,$(one-process) && $(one-process) --bin ends && $(one-process) --bin tls)
	@$(guests) --runs $(RUNS) --platform $(if $(filter native,$(PLATFORM)),native,qemu) \
	  $(if $(WORKLOAD),--workload $(WORKLOAD)) $(if $(CORES),--cores $(CORES)) \
	  $(if $(MEMORY),--memory $(MEMORY)) $(if $(filter 1,$(KVM)),--kvm) \
	  $(if $(DROP),--drop $(DROP)) $(if $(ONLY),--only $(ONLY)) $(addprefix --arch ,$(one-arch))

.PHONY: profile
profile: ready-to-test ## says where the instructions of a request go in the default image
	@$(guests) --runs 1 --workload instructions --only waitless --profile $(if $(OF),--path "$(OF)")

.PHONY: clean
clean: ## removes everything that was built here
	@cargo clean
	@rm -rf tests/fuzz/target

# --- Details -----------------------------------------------------------------------------------

# In a folder of their own, so that lints and tests need not wait for each other's compilers.
apart = --target-dir "$(or $(CARGO_TARGET_DIR),target)/lints"
# Cargo has the panics of tests unwind always, and would build what programs and tests share twice
# where those of programs do not.
unwinding = env CARGO_PROFILE_DEV_PANIC=unwind
lints = $(lint) --all-targets -- -D warnings && \
  $(lint) $(addprefix --test ,$(named)) -- -D warnings
lint = $(unwinding) cargo clippy --quiet $(apart) --workspace
image-lints = $(call lints-of,x86_64,webserver hello router gateway) && \
  $(call lints-of,aarch64,webserver)
lints-of = cargo clippy --quiet $(apart) --target $(1)-waitless \
  $(addprefix --package ,$(2) $(bare)) -- -D warnings
# The whole runner, the part that is macOS's included; that can be checked but not run elsewhere.
hvf-lints = cargo clippy --quiet $(apart) --package hvf-runner --package build \
  --target aarch64-apple-darwin -- -D warnings
docs = $(unwinding) RUSTDOCFLAGS='-D warnings -A rustdoc::private-intra-doc-links' \
  cargo doc --quiet --workspace --no-deps --document-private-items
one-process = cargo run --quiet --release --package waitless-bench
guests = cargo run --quiet --package waitless-bench --bin guests -- --seconds $(SECONDS)
# On a wire that does everything a little, and on one that parts for a while.
simulations = $(make-tool) && \
  $(tool) sim $(or $(APP),hello) --seeds $(1) $(worst) && \
  $(tool) sim $(or $(APP),hello) --seeds $(1) --delay 20ms±5 --partition 5s..15s
worst = --loss 2% --duplicate 1% --corrupt 0.5% --reorder --delay 40ms±10
summary = target/stages
stage = tests/stage $(summary)
# Tests that this machine could not run.
skipped = target/skipped
summed-up = printf '\n'; cat $(summary); ! test -s $(skipped) || cat $(skipped)
skipping = env WAITLESS_TEST_SKIPPED='$(CURDIR)/$(skipped)'
# With one package alone, cargo would choose other features of what it depends on, and build that
# anew.
make-tool = $(unwinding) cargo build $(if $(built),--quiet) --workspace --bin waitless-build
tool = "$(or $(CARGO_TARGET_DIR),target)/debug/waitless-build"
# Tests that run when they are named.
named = baseline image kernel peers soak
tests = $(unwinding) cargo test --workspace
peers = $(skipping) $(tests) --test peers
image-tests = $(skipping) WAITLESS_TEST_ARCH=$(one-arch) \
  WAITLESS_TEST_PLATFORM=$(one-platform) $(tests) --test image

.PHONY: test-everything test-variant beside what-is-exact with-others what-it-does
# Two lanes, because one leaves a core idle half of the time, while it links or waits for a guest.
# What cannot be disturbed goes beside and stands back, and behind it what meets others. The output
# of what is beside is shown where it failed.
test-everything:
	@WAITLESS_STAGES=$(summary).d $(MAKE) beside & beside=$$!; failed=0; \
	  trap 'kill $$beside 2>/dev/null; exit 130' INT TERM; \
	  $(MAKE) what-it-does || failed=$$?; wait $$beside || failed=$$?; exit $$failed

beside:
	@failed=0; trap 'kill $$lane 2>/dev/null; exit 143' TERM; \
	  nice $(MAKE) what-is-exact & lane=$$!; wait $$lane || failed=$$?; \
	  $(MAKE) with-others & lane=$$!; wait $$lane || failed=$$?; exit $$failed

what-is-exact:
	@$(stage) formatting cargo fmt --all --check
	@$(stage) lints sh -c '$(lints)'
	@$(stage) 'lints of images' sh -c '$(image-lints)'
	@$(stage) baseline $(tests) --test baseline
	@$(stage) 'lints of hvf' $(hvf-lints)
	@$(stage) documentation $(docs) $(apart)
	@$(stage) simulations sh -c '$(call simulations,1000)'
	@$(stage) 'audit, x86_64' $(tool) audit --arch x86_64
	@$(stage) 'audit, aarch64' $(tool) audit --arch aarch64

with-others:
	@$(stage) "TCP and the kernel's" $(skipping) $(tests) --test kernel
	@$(stage) 'servers and attackers' $(peers)

what-it-does:
	@$(stage) 'all of one process' $(tests)
	@$(stage) 'whole images' $(image-tests)

# One variant: its whole images, and for Apple silicon what else can be tested here.
test-variant:
	@$(if $(filter hvf,$(one-platform)),$(stage) 'lints of hvf' $(hvf-lints),true)
	@$(if $(filter hvf,$(one-platform)),$(stage) 'runner of hvf' \
	  cargo test --package hvf-runner --package waitless-tests --test hvf --lib,true)
	@$(stage) 'whole images' $(image-tests) $(if $(filter hvf,$(one-platform)),-- matrix)

.PHONY: ready-to-build ready-to-test platform-exists platform-is-here arch-fits arch-of-iso
ready-to-build:
	@$(call set-up,build)

ready-to-test:
	@$(call set-up,test)

platform-exists:
	@test -e platforms/$(PLATFORM)/waitless.toml || { \
	  echo "unknown PLATFORM=$(PLATFORM); one of:" \
	    $(sort $(patsubst platforms/%/waitless.toml,%,$(wildcard platforms/*/waitless.toml))) >&2; \
	  exit 2; }

# Said before anything is installed or built; the runner says the same.
platform-is-here: platform-exists
	@test $(PLATFORM) != hvf || test "$$(uname -s) $$(uname -m)" = 'Darwin arm64' || { \
	  echo "error: the platform \`hvf\` takes macOS on Apple silicon, and this is" \
	    "$$(uname -s) on $$(uname -m); next: \`make run ARCH=aarch64\` boots the same app in" \
	    "QEMU's emulation" >&2; exit 2; }

# A PC boots it, whatever else there is.
arch-fits: $(if $(filter iso,$(PLATFORM)),arch-of-iso)

arch-of-iso:
	@test '$(ARCH)' = x86_64 || { \
	  echo "error: an ISO boots x86_64, not ARCH=$(ARCH); next: \`make run ARCH=$(ARCH)\` boots" \
	    "the same app without one" >&2; exit 2; }
