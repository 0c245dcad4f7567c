//! The first instructions: from the loader's 32-bit mode to [`boot::start`](crate::boot::start).
//!
//! The note and the header tell loaders where to enter. Both ways lead to the same code, which
//! maps the first 4 GiB to themselves, turns on 64-bit mode and SSE, and calls Rust.

use core::arch::global_asm;

/// The tables of the first 4 GiB: one root, one of the second level, four of the third.
#[repr(C, align(4096))]
struct FirstTables(core::cell::UnsafeCell<[u64; 6 * 512]>);

// SAFETY: written by the code below before there is anything else, then read by the processor.
unsafe impl Sync for FirstTables {}

static FIRST_TABLES: FirstTables = FirstTables(core::cell::UnsafeCell::new([0; 6 * 512]));

global_asm!(
    r#"
    // A PVH loader looks for this note: type 18, "Xen", the physical address to enter at.
    .section .note.Xen, "a", @note
    .align 4
    .long 4, 8, 18
    .asciz "Xen"
    .quad enter_pvh

    // A Multiboot2 loader looks for this header: magic, i386, length, sum; an optional tag that
    // asks for pages to be left to modules; the end tag.
    .section .multiboot2, "a"
    .align 8
1:
    .long 0xe85250d6, 0, 2f - 1b, -(0xe85250d6 + 0 + (2f - 1b))
    .short 6, 1
    .long 8
    .short 0, 0
    .long 8
2:

    .section .text.entry, "ax"
    .code32
    .global enter_pvh
enter_pvh:
    xor eax, eax                    // no Multiboot2 magic
    .global _start
_start:
    cli
    cld
    mov edi, eax                    // the first argument: which loader
    mov esi, ebx                    // the second: what it left
    lea esp, [{stack} + {stack_end}]

    lea ebx, [{tables}]
    lea eax, [ebx + 2 * 4096]       // four third-level tables of 2 MiB pages
    xor ecx, ecx
    mov edx, 0x83                   // present, writable, large
3:
    mov [eax + ecx * 8], edx
    add edx, 0x200000
    inc ecx
    cmp ecx, 4 * 512
    jne 3b

    lea edx, [eax + 3]              // present, writable
    lea eax, [ebx + 4096]
    xor ecx, ecx
4:
    mov [eax + ecx * 8], edx
    add edx, 4096
    inc ecx
    cmp ecx, 4
    jne 4b
    add eax, 3
    mov [ebx], eax
    mov cr3, ebx

    mov eax, 0x620                  // PAE, OSFXSR, OSXMMEXCPT
    mov cr4, eax
    mov ecx, 0xc0000080             // EFER: long mode
    rdmsr
    or eax, 0x100
    wrmsr
    mov eax, 0x80010023             // paging, write protection, numeric errors, MP, protection
    mov cr0, eax

    lgdt [5f]
    push 8
    lea eax, [enter_64]
    push eax
    retf

    .align 8
6:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
5:
    .short 23
    .long 6b

    .code64
enter_64:
    mov eax, 16
    mov ds, eax
    mov es, eax
    mov ss, eax
    xor eax, eax
    mov fs, eax
    mov gs, eax
    xor ebp, ebp                    // ends a backtrace
    mov edi, edi                    // the upper halves are undefined
    mov esi, esi
    call {start}
    ud2
    "#,
    stack = sym crate::stacks::MAIN,
    stack_end = const platform_machine::memory::PAGE as usize + crate::stacks::MAIN_SIZE,
    tables = sym FIRST_TABLES,
    start = sym crate::boot::start,
);
