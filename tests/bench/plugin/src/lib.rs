//! A plugin of QEMU's that counts how often each instruction of a guest is executed.
//!
//! The counts stand in a file, which is mapped into memory: whoever named it reads them at any
//! time, without a word to QEMU. It consists of 64-bit words of this machine: how many entries
//! there are, how many instructions found no room, and then, for each entry, the instruction's
//! virtual address and its count. The file's size is the room there is.
//!
//! QEMU adds to a count itself, without a call, in the code that it makes of the guest's. With
//! `-icount`, virtual processors take turns, so no count is lost.
//!
//! Made for version 1 of QEMU's interface, which QEMU 6.0 to 8.2 have.

use rustix::fs::{Mode, OFlags};
use rustix::mm::{MapFlags, ProtFlags};
use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// What QEMU asks for the version of.
#[unsafe(no_mangle)]
pub static qemu_plugin_version: c_int = 1;

#[repr(C)]
struct Block(c_void);
#[repr(C)]
struct Instruction(c_void);

unsafe extern "C" {
    fn qemu_plugin_register_vcpu_tb_trans_cb(id: u64, call: extern "C" fn(u64, *const Block));
    fn qemu_plugin_tb_n_insns(block: *const Block) -> usize;
    fn qemu_plugin_tb_get_insn(block: *const Block, index: usize) -> *mut Instruction;
    fn qemu_plugin_insn_vaddr(instruction: *const Instruction) -> u64;
    fn qemu_plugin_register_vcpu_insn_exec_inline(
        instruction: *mut Instruction,
        operation: c_int,
        to: *mut c_void,
        value: u64,
    );
}

/// The operation that adds to a 64-bit word.
const ADD: c_int = 0;

/// The mapped file.
struct Counts {
    words: &'static [AtomicU64],
    /// The word that counts the instruction at an address.
    known: HashMap<u64, usize>,
}

static COUNTS: Mutex<Option<Counts>> = Mutex::new(None);

/// Called by QEMU when it loads this: `counts=PATH` is the one argument.
///
/// # Safety
/// QEMU's promises: `count` pointers at `arguments`, each to a string that ends with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: u64,
    _: *const c_void,
    count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    let count = usize::try_from(count).unwrap_or(0);
    let mut words = (0..count).filter_map(|index| {
        // SAFETY: there are `count` of them, and each is a string that ends with a zero.
        unsafe { CStr::from_ptr(*arguments.add(index)) }.to_str().ok()
    });
    let Some(counts) = words.find_map(|word| map(word.strip_prefix("counts=")?)) else {
        eprintln!("count-plugin: counts=PATH: no file that can be mapped");
        return 1;
    };
    *COUNTS.lock().unwrap_or_else(PoisonError::into_inner) = Some(counts);
    // SAFETY: the function is what QEMU calls for each block that it translates.
    unsafe { qemu_plugin_register_vcpu_tb_trans_cb(id, translate) };
    0
}

fn map(path: &str) -> Option<Counts> {
    let file = rustix::fs::open(path, OFlags::RDWR, Mode::empty()).ok()?;
    let length = usize::try_from(rustix::fs::fstat(&file).ok()?.st_size).ok()?;
    let (access, how) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
    // SAFETY: a fresh mapping, wherever the kernel puts it, is nobody else's.
    let at = unsafe { rustix::mm::mmap(std::ptr::null_mut(), length, access, how, &file, 0) };
    // SAFETY: it is mapped for as long as the process lives, for reading and writing, and zeroed
    // or full of numbers; it is reached as atomic words only, here and by QEMU's code.
    let words = unsafe { std::slice::from_raw_parts(at.ok()?.cast(), length / 8) };
    Some(Counts { words, known: HashMap::new() })
}

/// QEMU translates a block: counts are added to each of its instructions.
extern "C" fn translate(_: u64, block: *const Block) {
    let mut counts = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(counts) = counts.as_mut() else { return };
    // SAFETY: the block is QEMU's, for the length of this call.
    let length = unsafe { qemu_plugin_tb_n_insns(block) };
    for index in 0..length {
        // SAFETY: the block has so many instructions.
        let instruction = unsafe { qemu_plugin_tb_get_insn(block, index) };
        // SAFETY: it was just given.
        let address = unsafe { qemu_plugin_insn_vaddr(instruction) };
        let Some(word) = counts.word_of(address) else { continue };
        // SAFETY: the word is mapped for ever, and QEMU adds to it alone.
        unsafe {
            qemu_plugin_register_vcpu_insn_exec_inline(instruction, ADD, word.as_ptr().cast(), 1);
        }
    }
}

impl Counts {
    /// The word that counts the instruction at `address`; `None` when there is no room.
    fn word_of(&mut self, address: u64) -> Option<&'static AtomicU64> {
        if let Some(at) = self.known.get(&address) {
            return self.words.get(*at);
        }
        let [entries, lost] = [self.words.first()?, self.words.get(1)?];
        let count = entries.load(Ordering::Relaxed);
        let at = 2 + 2 * usize::try_from(count).ok()?;
        let (Some(name), Some(word)) = (self.words.get(at), self.words.get(at + 1)) else {
            lost.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        name.store(address, Ordering::Relaxed);
        self.known.insert(address, at + 1);
        entries.store(count + 1, Ordering::Release);
        Some(word)
    }
}
