//! The target `fetch`; what it does is in `tests/src/fuzz.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| waitless_tests::fuzz::run("fetch", input));
