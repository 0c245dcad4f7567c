#!/bin/sh
# Makes this machine able to build, run and test Waitless. Safe to call again at any time.
#
#   setup.sh        the toolchain that builds images, and what `run` needs
#   setup.sh run    QEMU, firmware and a DHCP server, to run images
#   setup.sh iso    GRUB and what makes an ISO, unless Limine is installed (LIMINE_DIR)
#   setup.sh test   what the tests need besides: real clients and servers, captures, valgrind
#
# Images need the standard library's sources and the unstable flag that builds them, so a
# toolchain called `waitless` is composed and set for this checkout: plain `cargo` works here.
# Its parts come from the first of:
#   1. a toolchain on this machine that has the sources,
#   2. the distribution's packages,
#   3. rustup (nightly and rust-src), unless WAITLESS_NO_RUSTUP_DOWNLOAD is set.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
checkout=$(cd "$here/../.." && pwd)
composed=${WAITLESS_TOOLCHAIN:-${XDG_CACHE_HOME:-$HOME/.cache}/waitless/toolchain}
unpacked=${XDG_CACHE_HOME:-$HOME/.cache}/waitless/programs
oldest=96 # rustc 1.96 is the oldest that knows `-C jump-tables`

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# --- The distribution's packages ---------------------------------------------------------------

sudo=
can_install() {
    have apt-get || return 1
    [ "$(id -u)" = 0 ] && return 0
    have sudo && sudo -n true 2>/dev/null && sudo="sudo -n"
}

fresh_lists=
refresh() {
    [ -n "$fresh_lists" ] && return 0
    say "apt-get update"
    $sudo apt-get -qq update && fresh_lists=yes
}

# The packages among the arguments that the distribution has.
known() {
    for package in "$@"; do
        if apt-cache policy "$package" 2>/dev/null | grep -q 'Candidate: [^(]'; then
            printf '%s ' "$package"
        fi
    done
}

install() {
    say "apt-get install $*"
    # shellcheck disable=SC2086 # no sudo is no word
    DEBIAN_FRONTEND=noninteractive $sudo apt-get -qq install -y --no-install-recommends "$@" \
        >/dev/null
}

# Installs what is missing among lines of `file-or-command package`.
want() {
    missing=
    while read -r probe package; do
        case $probe in
            '') continue ;;
            /*) [ -e "$probe" ] || missing="$missing $package" ;;
            *) have "$probe" || missing="$missing $package" ;;
        esac
    done
    [ -z "$missing" ] && return 0
    if can_install; then
        refresh
        # shellcheck disable=SC2086 # a list of words
        install $missing
    else
        die "missing; install with: apt-get install$missing"
    fi
}

# The same for services, one a line: their packages are unpacked for the tests and not installed,
# since that would start the service on this machine, or replace one that it has.
want_unpacked() {
    while read -r program package; do
        have "$program" || [ -x "/usr/sbin/$program" ] || [ -x "$unpacked/$program" ] ||
            unpack "$program" "$package"
    done
}

unpack() {
    say "unpacking $2"
    folder=$(mktemp -d)
    (cd "$folder" && apt-get -qq download "$2" >/dev/null 2>&1 && dpkg-deb -x ./*.deb .) &&
        mkdir -p "$unpacked" && cp "$folder/usr/sbin/$1" "$unpacked/" && found=yes || found=no
    rm -rf "$folder"
    [ $found = yes ] || die "cannot get the program $1; install the package $2 yourself"
}

for_run() {
    if [ "$(uname -s)" = Darwin ]; then
        have qemu-system-x86_64 && have qemu-system-aarch64 ||
            die "missing; install with: brew install qemu"
        say "ready to run images: qemu"
        return 0
    fi
    want <<'LIST'
qemu-system-x86_64 qemu-system-x86
qemu-system-aarch64 qemu-system-arm
/usr/share/qemu-efi-aarch64 qemu-efi-aarch64
/usr/share/OVMF ovmf
dnsmasq dnsmasq-base
ip iproute2
curl curl
LIST
    say "ready to run images: qemu, ovmf, dnsmasq, ip, curl"
}

for_iso() {
    want <<'LIST'
xorriso xorriso
LIST
    [ -n "${LIMINE_DIR:-}" ] || [ -d /usr/share/limine ] || [ -d /usr/local/share/limine ] ||
        want <<'LIST'
grub-mkrescue grub-common
mformat mtools
/usr/lib/grub/i386-pc grub-pc-bin
/usr/lib/grub/x86_64-efi grub-efi-amd64-bin
LIST
    say "ready to make ISOs: xorriso, and a loader"
}

for_test() {
    want <<'LIST'
make make
gcc gcc
/usr/include/stdio.h libc6-dev
wrk wrk
tshark tshark
ping iputils-ping
openssl openssl
valgrind valgrind
hping3 hping3
nmap nmap
sslscan sslscan
gnutls-cli gnutls-bin
tstclnt libnss3-tools
h2load nghttp2-client
testssl testssl.sh
atk6-flood_router26 thc-ipv6
/usr/share/doc/kea-common kea-common
LIST
    want_unpacked <<'LIST'
chronyd chrony
dhcpd isc-dhcp-server
kea-dhcp4 kea-dhcp4-server
kea-dhcp6 kea-dhcp6-server
nginx nginx
radvd radvd
LIST
    say "ready to test: make, gcc, wrk, tshark, ping, openssl, valgrind, hping3, nmap," \
        "sslscan, gnutls-cli, tstclnt, h2load, testssl, thc-ipv6, chronyd, dhcpd, kea, nginx, radvd"
}

# --- The toolchain -----------------------------------------------------------------------------

# Whether the rustc given is new enough and has the library's sources beside it.
complete() {
    [ -x "$1" ] && [ -x "$(dirname "$1")/cargo" ] || return 1
    version=$("$1" --version 2>/dev/null) || return 1
    minor=${version#rustc 1.}
    minor=${minor%%.*}
    [ "$minor" -ge "$oldest" ] 2>/dev/null || return 1
    [ -f "$("$1" --print sysroot)/lib/rustlib/src/rust/library/core/Cargo.toml" ]
}

# Sets `found` to the bin folder of the first complete toolchain already here.
find_toolchain() {
    rustups=${RUSTUP_HOME:-$HOME/.rustup}/toolchains
    for bin in /usr/bin /usr/lib/rust-1.*/bin "$rustups"/*/bin /usr/local/bin; do
        [ "$bin" = "$composed/bin" ] && continue
        [ -L "${bin%/bin}" ] && continue
        # A proxy of rustup's would ask for the toolchain that is being composed.
        case $(readlink -f "$bin/rustc" 2>/dev/null) in */rustup) continue ;; esac
        if complete "$bin/rustc"; then
            found=$bin
            return 0
        fi
    done
    return 1
}

install_toolchain() {
    if can_install; then
        refresh
        for set in "rustc-web cargo-web rust-web-src" "rustc-1.9[6-9] cargo-1.9[6-9]" \
            "rustc cargo rust-src"; do
            # shellcheck disable=SC2086 # a list of words
            set -- $(candidates $set)
            [ $# -gt 0 ] || continue
            install "$@" || continue
            find_toolchain && return 0
        done
    fi
    if [ -z "${WAITLESS_NO_RUSTUP_DOWNLOAD:-}" ] && have rustup; then
        say "rustup toolchain install nightly --component rust-src"
        rustup toolchain install nightly --profile default --component rust-src
        find_toolchain && return 0
    fi
    return 1
}

# A set's packages where the distribution has all of them in a version new enough, else nothing.
candidates() {
    case $1 in
        *\[*) # versioned packages: the newest
            version=$(apt-cache pkgnames rustc-1. 2>/dev/null |
                sed -n 's/^rustc-1\.\([0-9][0-9]*\)$/\1/p' | sort -n | tail -1)
            [ "${version:-0}" -ge "$oldest" ] || return 0
            set -- "rustc-1.$version" "cargo-1.$version" "rust-1.$version-src"
            ;;
    esac
    offered=$(apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: //p')
    offered=${offered#1.}
    [ "${offered%%.*}" -ge "$oldest" ] 2>/dev/null || return 0
    [ "$(known "$@" | wc -w)" = $# ] && known "$@"
    return 0
}

# Prints a linker for `rust-lld`: the toolchain's own, else LLVM's, else another toolchain's.
find_lld() {
    sysroot=$("$found/rustc" --print sysroot)
    for lld in "$sysroot"/lib/rustlib/*/bin/rust-lld "$(command -v lld || true)" \
        /usr/lib/llvm-*/bin/lld \
        "${RUSTUP_HOME:-$HOME/.rustup}"/toolchains/*/lib/rustlib/*/bin/rust-lld
    do
        [ -x "$lld" ] && printf '%s' "$lld" && return 0
    done
    return 1
}

# Prints the bin folder of a toolchain of rustup's that has the tool given.
elsewhere() {
    for bin in "${RUSTUP_HOME:-$HOME/.rustup}"/toolchains/stable*/bin \
        "${RUSTUP_HOME:-$HOME/.rustup}"/toolchains/*/bin; do
        [ "$bin" = "$composed/bin" ] && continue
        [ -x "$bin/$1" ] && printf '%s' "$bin" && return 0
    done
    return 1
}

compose() {
    new=$composed.new.$$
    rm -rf "$new"
    mkdir -p "$new/bin" "$new/linker" "$new/for-host"
    mkdir "$new/lib" # without it, rustup does not take this for a toolchain
    ln -s "$(find_lld)" "$new/linker/rust-lld"
    ln -s "$(find_lld)" "$new/for-host/ld" # what it is called by says how it reads its words
    for tool in rustc rustdoc; do
        ln -s "$found/$tool" "$new/bin/$tool"
    done
    for tool in cargo-clippy clippy-driver rustfmt cargo-fmt; do
        if [ -x "$found/$tool" ]; then
            ln -s "$found/$tool" "$new/bin/$tool"
        elif other=$(elsewhere "$tool"); then
            # Another toolchain's clippy must come with that toolchain's cargo and rustc.
            {
                echo '#!/bin/sh'
                echo 'unset CARGO RUSTC RUSTUP_TOOLCHAIN'
                echo "PATH='$other':\$PATH exec '$other/$tool' \"\$@\""
            } >"$new/bin/$tool"
            chmod +x "$new/bin/$tool"
        fi
    done
    sed -e "s|@cargo@|$found/cargo|" -e "s|@self@|$composed|" "$here/cargo.sh" >"$new/bin/cargo"
    chmod +x "$new/bin/cargo"
    "$found/rustc" --version >"$new/version"
    recipe >"$new/recipe"
    # Another checkout may be building with it: it is away for no longer than a rename takes.
    rm -rf "$composed.old"
    [ ! -e "$composed" ] || mv "$composed" "$composed.old"
    mv "$new" "$composed"
    rm -rf "$composed.old"
}

# What a toolchain is composed from and how; all checkouts of one version share it.
recipe() {
    printf '%s\n' "$found"
    cat "$here/cargo.sh" "$here/setup.sh" | cksum
}

# Whether what was composed before is still what would be composed now.
composed_already() {
    [ -x "$composed/bin/cargo" ] && [ -x "$composed/linker/rust-lld" ] || return 1
    [ "$(cat "$composed/version" 2>/dev/null)" = "$("$found/rustc" --version)" ] || return 1
    [ "$(cat "$composed/recipe" 2>/dev/null)" = "$(recipe)" ]
}

for_build() {
    if ! find_toolchain && ! install_toolchain; then
        die "no Rust toolchain (1.$oldest or newer) with library sources; next step:" \
            "rustup toolchain install nightly --component rust-src"
    fi
    if [ "$found" = /usr/bin ] && can_install; then
        want_tools
    fi
    have cc || want <<'LIST'
cc gcc
/usr/include/stdio.h libc6-dev
LIST
    find_lld >/dev/null || want <<'LIST'
lld lld
LIST
    if ! composed_already; then
        say "composing a toolchain from $found"
        compose
    fi
    if have rustup; then
        [ "$(rustup run waitless rustc --version 2>/dev/null)" = "$(cat "$composed/version")" ] ||
            rustup --quiet toolchain link waitless "$composed"
        rustup override list | grep -q "^$checkout[[:space:]].*waitless" ||
            rustup --quiet override set waitless --path "$checkout"
        say "ready to build: $(cat "$composed/version"), by plain cargo in this checkout"
    else
        say "ready to build: $(cat "$composed/version"); put $composed/bin first in PATH"
    fi
}

# Clippy and rustfmt of the same version as the distribution's compiler, where it has them.
want_tools() {
    [ -x /usr/bin/clippy-driver ] && [ -x /usr/bin/cargo-fmt ] && return 0
    case $(dpkg -S /usr/bin/rustc 2>/dev/null) in
        rustc-web*) tools="rust-web-clippy rustfmt-web" ;;
        *) tools="rust-clippy rustfmt" ;;
    esac
    refresh
    # shellcheck disable=SC2046,SC2086 # lists of words
    set -- $(known $tools)
    [ $# -eq 0 ] || install "$@" || say "no clippy of this version: another toolchain's is used"
}

case ${1:-} in
    '') for_build; for_run ;;
    build) for_build ;;
    run) for_run ;;
    iso) for_iso ;;
    test) for_build; for_run; for_iso; for_test ;;
    *) die "unknown: $1 (build, run, iso, test, or nothing)" ;;
esac
