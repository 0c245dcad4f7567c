//! What is asked of the processor, against the standard library's answers.

crate::new!(aes, "aes");
#[cfg(target_arch = "x86_64")]
crate::new!(product, "avx", "pclmulqdq");
#[cfg(target_arch = "x86_64")]
crate::new!(always, "sse2");

#[cfg(target_arch = "x86_64")]
#[test]
fn processors_say_what_the_standard_library_says() {
    macro_rules! same {
        ($($feature:tt)+) => {
            $(assert_eq!(crate::x86_64::has($feature), crate::__has!($feature), $feature);)+
        };
    }
    same!("sse2" "sse3" "ssse3" "sse4.1" "pclmulqdq" "aes" "avx" "sha");
    assert!(!crate::x86_64::has("avx512f"), "images have no code for it");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_answer_stays() {
    let has_product = crate::__has!("avx") && crate::__has!("pclmulqdq");
    for _ in 0..2 {
        assert_eq!(aes::get(), crate::__has!("aes"));
        let (token, answer) = aes::InitToken::init_get();
        assert_eq!((token.get(), answer), (aes::get(), aes::get()));
        assert_eq!(product::init().get(), has_product);
        assert!(always::InitToken::init().get());
    }
}

#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
#[test]
fn processors_say_what_the_standard_library_says() {
    macro_rules! same {
        ($($feature:tt)+) => {
            $(assert_eq!(crate::aarch64::has($feature), crate::__has!($feature), $feature);)+
        };
    }
    same!("aes" "sha2" "sha3");
}
