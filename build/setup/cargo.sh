#!/bin/sh
# The `cargo` of the composed toolchain: plain cargo, except for builds of images, that is, of
# targets of ours. Those get `core` and `alloc` built from source. Host builds stay stable. What
# is for macOS can be checked anywhere: elsewhere, that gets the whole library from source.
image=
foreign=
previous=
for argument in "$@"; do
    case $argument in
        --) break ;;
        --target=*-waitless) image=yes ;;
        *-waitless) [ "$previous" = --target ] && image=yes ;;
        aarch64-apple-darwin) [ "$previous" = --target ] && foreign=yes ;;
    esac
    previous=$argument
done
case ${CARGO_BUILD_TARGET:-} in *-waitless) image=yes ;; esac
if [ -n "$image" ]; then
    export RUSTC_BOOTSTRAP=1
    export CARGO_UNSTABLE_BUILD_STD=core,alloc
    export CARGO_UNSTABLE_BUILD_STD_FEATURES=compiler-builtins-mem
    export PATH="@self@/linker:$PATH"
fi
if [ -n "$foreign" ] && [ "$(uname -s)" != Darwin ]; then
    export RUSTC_BOOTSTRAP=1
    export CARGO_UNSTABLE_BUILD_STD=std,panic_abort
fi
# Programs of this host are linked by the same linker, as rustup's toolchains do on Linux: there
# are some 150 in a run of all tests, and each takes a quarter of what the system's takes.
if [ "$(uname -s)" = Linux ]; then
    export COMPILER_PATH="@self@/for-host${COMPILER_PATH:+:$COMPILER_PATH}"
fi
exec '@cargo@' "$@"
