//! The first instructions: from the loader's mode to [`boot`](crate::boot).
//!
//! The note, the header and the requests tell loaders where to enter. PVH and Multiboot2 enter in
//! 32-bit mode, at the address where the image was loaded; that way maps the first 4 GiB to
//! themselves and the image where it was linked, and turns on 64-bit mode. Limine's protocol has
//! done so already. Both turn on SSE and call Rust on the image's own stack.

use core::arch::global_asm;

/// The tables of the first 4 GiB, and of the first 2 GiB again at the top: one root, two of the
/// second level, four of the third.
#[repr(C, align(4096))]
struct FirstTables(core::cell::UnsafeCell<[u64; 7 * 512]>);

// SAFETY: written by the code below before there is anything else, then read by the processor.
unsafe impl Sync for FirstTables {}

static FIRST_TABLES: FirstTables = FirstTables(core::cell::UnsafeCell::new([0; 7 * 512]));

/// What makes the address where the image was loaded of the one where it was linked: 2^64 less
/// `image_offset` of the linker script, for sums of 64 bits.
const LOADED: u64 = 0x8000_0000;

global_asm!(
    r#"
    // A PVH loader looks for this note: type 18, "Xen", the physical address to enter at.
    .section .note.Xen, "a", @note
    .align 4
    .long 4, 8, 18
    .asciz "Xen"
    .quad enter_pvh + {loaded}

    // A Multiboot2 loader looks for this header: magic, i386, length, sum; the physical address
    // to enter at; an optional tag that asks for pages to be left to modules; the end tag.
    .section .multiboot2, "a"
    .align 8
1:
    .long 0xe85250d6, 0, 2f - 1b, -(0xe85250d6 + 0 + (2f - 1b))
    .short 3, 0
    .long 12, _start + {loaded}, 0
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
    lea esp, [{stack} + {stack_end} + {loaded}]

    lea ebx, [{tables} + {loaded}]
    lea eax, [ebx + 3 * 4096]       // four third-level tables of 2 MiB pages
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
    lea edx, [ebx + 3 * 4096 + 3]   // the first 2 GiB are the last, too
    mov [ebx + 2 * 4096 + 510 * 8], edx
    add edx, 4096
    mov [ebx + 2 * 4096 + 511 * 8], edx
    add eax, 3
    mov [ebx], eax
    add eax, 4096
    mov [ebx + 511 * 8], eax
    mov cr3, ebx

    mov eax, {cr4}
    mov cr4, eax
    mov ecx, 0xc0000080             // EFER: long mode
    rdmsr
    or eax, 0x100
    wrmsr
    mov eax, {cr0}
    mov cr0, eax

    lea eax, [5f + {loaded}]
    lgdt [eax]
    push 8
    lea eax, [enter_64 + {loaded}]
    push eax
    retf

    .align 8
6:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
5:
    .short 23
    .long 6b + {loaded}

    .code64
enter_64:
    movabs rax, offset enter_high
    jmp rax
enter_high:
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
    lea rsp, [rip + {stack} + {stack_end}]
    call {start}
    ud2

    .global enter_limine
enter_limine:
    cli
    cld
    mov eax, {cr4}
    mov cr4, rax
    mov eax, {cr0}
    mov cr0, rax
    xor ebp, ebp
    lea rsp, [rip + {stack} + {stack_end}]
    call {start_limine}
    ud2
    "#,
    loaded = const LOADED,
    cr4 = const 0x620,              // PAE, OSFXSR, OSXMMEXCPT
    cr0 = const 0x8001_0023u32,     // paging, write protection, numeric errors, MP, protection
    stack = sym crate::stacks::MAIN,
    stack_end = const platform_machine::memory::PAGE as usize + crate::stacks::MAIN_SIZE,
    tables = sym FIRST_TABLES,
    start = sym crate::boot::start,
    start_limine = sym crate::boot::start_limine,
);
