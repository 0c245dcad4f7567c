//! Which instructions the processor has, for the crates of primitives that ask `cpufeatures`.
//!
//! The crate of that name knows none where there is no operating system, and so AES and GCM would
//! be software in images. This one stands in for it, by `[patch.crates-io]` of a workspace: on
//! bare metal it asks the processor, elsewhere the standard library. It has what crates use of the
//! other's interface, [`new`], and no more.
//!
//! On bare metal it knows the instructions that are worth their size in an image
//! ([`is_known`]); for others the answer is a constant, and code for them is not in the image.
//! Vector registers count as there once the platform has turned them on, which it does on every
//! core before anything of the graph runs.

#![no_std]

#[cfg(all(target_arch = "aarch64", any(target_os = "none", all(test, target_os = "linux"))))]
mod aarch64;
#[cfg(test)]
mod tests;
#[cfg(all(target_arch = "x86_64", any(target_os = "none", test)))]
mod x86_64;

#[cfg(not(target_os = "none"))]
#[doc(hidden)]
pub extern crate std;

#[cfg(all(target_os = "none", target_arch = "aarch64"))]
#[doc(hidden)]
pub use aarch64::has;
#[cfg(all(target_os = "none", target_arch = "x86_64"))]
#[doc(hidden)]
pub use x86_64::has;

/// Makes a module that says whether the processor has all of some features: `get()`, and a token
/// that proves that it was asked.
///
/// The processor is asked once; after that, the answer is a load and a comparison.
#[macro_export]
macro_rules! new {
    ($name:ident, $($feature:tt),+ $(,)?) => {
        #[allow(dead_code, reason = "no crate uses all of it")]
        mod $name {
            use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

            /// Whether the answer is known while compiling: yes, or no.
            const ALWAYS: bool = cfg!(all($(target_feature = $feature),+));
            const NEVER: bool = !($($crate::is_known($feature))&&+);

            const NO: u8 = 1;
            const YES: u8 = 2;

            /// The answer, once somebody has asked.
            static ANSWER: AtomicU8 = AtomicU8::new(0);

            /// Proof that the processor was asked.
            #[derive(Clone, Copy, Debug)]
            pub struct InitToken(());

            impl InitToken {
                /// Asks the processor, unless that was done.
                #[inline]
                pub fn init() -> Self {
                    init()
                }

                /// The same, with the answer.
                #[inline]
                pub fn init_get() -> (Self, bool) {
                    init_get()
                }

                /// The answer.
                #[inline(always)]
                pub fn get(&self) -> bool {
                    ALWAYS || !NEVER && ANSWER.load(Relaxed) == YES
                }
            }

            /// Asks the processor, unless that was done; gives the proof and the answer.
            #[inline]
            pub fn init_get() -> (InitToken, bool) {
                if !ALWAYS && !NEVER && ANSWER.load(Relaxed) == 0 {
                    ask();
                }
                let token = InitToken(());
                (token, token.get())
            }

            /// Asks the processor, unless that was done.
            #[inline]
            pub fn init() -> InitToken {
                init_get().0
            }

            /// Whether the processor has all of the features.
            #[inline]
            pub fn get() -> bool {
                init_get().1
            }

            // Two cores may both ask; they are told the same.
            #[cold]
            fn ask() {
                let has = $($crate::__has!($feature))&&+;
                ANSWER.store(if has { YES } else { NO }, Relaxed);
            }
        }
    };
}

/// Whether the processor is asked for a feature at all. On bare metal: for AES and for products
/// without carries, which GCM's hash is made of, for SHA-256, on Arm also for SHA-3, and for what
/// the code with them uses besides. Wider vectors would speed up what only old machines use, at
/// the cost of tens of kilobytes.
#[must_use]
pub const fn is_known(feature: &str) -> bool {
    let _ = feature;
    #[cfg(not(target_os = "none"))]
    return true;
    #[cfg(all(target_os = "none", target_arch = "x86_64"))]
    return matches!(
        feature.as_bytes(),
        b"sse2" | b"sse3" | b"ssse3" | b"sse4.1" | b"pclmulqdq" | b"aes" | b"avx" | b"sha"
    );
    #[cfg(all(target_os = "none", target_arch = "aarch64"))]
    return matches!(feature.as_bytes(), b"aes" | b"sha2" | b"sha3");
    #[cfg(all(target_os = "none", not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    return false;
}

/// Whether this processor has one feature.
#[cfg(all(not(target_os = "none"), any(target_arch = "x86_64", target_arch = "x86")))]
#[doc(hidden)]
#[macro_export]
macro_rules! __has {
    ($feature:tt) => {
        $crate::std::arch::is_x86_feature_detected!($feature)
    };
}

/// Whether this processor has one feature.
#[cfg(all(not(target_os = "none"), target_arch = "aarch64"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __has {
    ($feature:tt) => {
        $crate::std::arch::is_aarch64_feature_detected!($feature)
    };
}

/// Whether this processor has one feature.
#[cfg(all(target_os = "none", any(target_arch = "x86_64", target_arch = "aarch64")))]
#[doc(hidden)]
#[macro_export]
macro_rules! __has {
    ($feature:tt) => {
        $crate::has($feature)
    };
}

/// Whether this processor has one feature.
#[cfg(not(any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")))]
#[doc(hidden)]
#[macro_export]
macro_rules! __has {
    ($feature:tt) => {
        false
    };
}
