//! Copies memory: what the compiler calls `memcpy`.
//!
//! The compiler's own one moves up to seven bytes, then words, then up to seven bytes again, each
//! by an instruction that repeats itself. To start one of those takes a processor longer than the
//! few dozen bytes of most copies here, and an emulator takes a turn for each repetition. This one
//! moves 16 bytes at a time; the first and the last piece overlap, so that no length needs more
//! than one loop.
//!
//! It is assembly because link-time optimization may drop a function that nobody is seen to call.

use core::arch::global_asm;

// The name that the compiler calls exists in images only: hosts have theirs.
#[cfg(target_os = "none")]
global_asm!(
    ".global memcpy",
    ".type memcpy, @function",
    ".set memcpy, waitless_copy",
    ".size memcpy, 0"
);

// System V: to, from, length in rdi, rsi, rdx; gives back the first.
global_asm!(
    ".pushsection .text.waitless_copy,\"ax\",@progbits",
    ".global waitless_copy",
    ".type waitless_copy, @function",
    ".balign 16",
    "waitless_copy:",
    "mov rax, rdi",
    "cmp rdx, 16",
    "jb 4f",
    // The first 16 bytes and the last: up to 32, that is all.
    "movups xmm0, [rsi]",
    "movups xmm1, [rsi + rdx - 16]",
    "cmp rdx, 32",
    "jbe 3f",
    "mov ecx, 16",
    "lea r8, [rdx - 16]",
    "cmp rdx, 80",
    "jbe 2f",
    // 64 at a time, as long as there are more than 16 behind them.
    "lea r9, [rdx - 80]",
    "5:",
    "movups xmm2, [rsi + rcx]",
    "movups xmm3, [rsi + rcx + 16]",
    "movups xmm4, [rsi + rcx + 32]",
    "movups xmm5, [rsi + rcx + 48]",
    "movups [rdi + rcx], xmm2",
    "movups [rdi + rcx + 16], xmm3",
    "movups [rdi + rcx + 32], xmm4",
    "movups [rdi + rcx + 48], xmm5",
    "add rcx, 64",
    "cmp rcx, r9",
    "jbe 5b",
    "cmp rcx, r8",
    "jae 3f",
    // The rest but the last, 16 at a time.
    "2:",
    "movups xmm2, [rsi + rcx]",
    "movups [rdi + rcx], xmm2",
    "add rcx, 16",
    "cmp rcx, r8",
    "jb 2b",
    "3:",
    "movups [rdi], xmm0",
    "movups [rdi + rdx - 16], xmm1",
    "ret",
    "4:",
    "cmp edx, 8",
    "jb 6f",
    "mov rcx, [rsi]",
    "mov r8, [rsi + rdx - 8]",
    "mov [rdi], rcx",
    "mov [rdi + rdx - 8], r8",
    "ret",
    "6:",
    "cmp edx, 4",
    "jb 7f",
    "mov ecx, [rsi]",
    "mov r8d, [rsi + rdx - 4]",
    "mov [rdi], ecx",
    "mov [rdi + rdx - 4], r8d",
    "ret",
    // The first, the middle and the last of three; of two and of one, some of them twice.
    "7:",
    "test edx, edx",
    "jz 8f",
    "mov r10, rdx",
    "shr r10",
    "movzx ecx, byte ptr [rsi]",
    "movzx r8d, byte ptr [rsi + rdx - 1]",
    "movzx r9d, byte ptr [rsi + r10]",
    "mov [rdi], cl",
    "mov [rdi + r10], r9b",
    "mov [rdi + rdx - 1], r8b",
    "8:",
    "ret",
    ".size waitless_copy, . - waitless_copy",
    ".popsection",
);

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    extern crate std;

    use std::vec::Vec;

    unsafe extern "C" {
        fn waitless_copy(to: *mut u8, from: *const u8, length: usize) -> *mut u8;
    }

    #[test]
    fn every_length_and_alignment_is_copied_and_nothing_else() {
        let source: Vec<u8> = (0..700_u32).map(|at| (at * 31 + at / 256) as u8 | 1).collect();
        for length in 0..330 {
            for (from, to) in [(0, 0), (1, 0), (0, 1), (7, 9), (15, 3), (8, 16)] {
                let mut room = [0; 400];
                // SAFETY: both are longer than where this begins and what it moves.
                let back = unsafe {
                    let to = room.as_mut_ptr().add(to);
                    waitless_copy(to, source.as_ptr().add(from), length) == to
                };
                assert!(back, "it gives back where it copied to");
                assert_eq!(room[to..to + length], source[from..from + length]);
                let outside = room[..to].iter().chain(&room[to + length..]);
                assert!(outside.into_iter().all(|byte| *byte == 0), "{length} from {from}");
            }
        }
    }
}
