//! The target `dhcp6`; what it does is in `tests/src/fuzz.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| waitless_tests::fuzz::run("dhcp6", input));
