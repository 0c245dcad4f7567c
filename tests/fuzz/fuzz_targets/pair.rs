//! The target `pair`; what it does is in `tests/src/pair.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| waitless_tests::fuzz::run("pair", input));
