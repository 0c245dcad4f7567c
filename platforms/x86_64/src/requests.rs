//! What the image asks a loader that speaks Limine's protocol, and where to find its answers.

use crate::limine::{self, Answers, Request, tag};
use core::cell::UnsafeCell;

/// What a loader finds in the image, reads, and may change.
#[repr(C, align(8))]
struct Shared<T>(UnsafeCell<T>);

// SAFETY: the loader alone writes, before the image runs; here it is read only.
unsafe impl<T> Sync for Shared<T> {}

impl Shared<Request> {
    /// Where the answer is; zero when there is none.
    fn answer(&self) -> u64 {
        // SAFETY: the request is static. The loader has written to it, of which the compiler knows
        // nothing, hence volatile.
        unsafe { self.0.get().read_volatile() }.answer
    }
}

unsafe extern "C" {
    /// The entry code, which is no function to call.
    fn enter_limine() -> !;
}

/// The request for an entry point, with the address behind it.
#[repr(C)]
struct Entry(Request, unsafe extern "C" fn() -> !);

#[used]
#[unsafe(link_section = ".limine.start")]
static START: Shared<[u64; 4]> = Shared(UnsafeCell::new(tag::START));

#[used]
#[unsafe(link_section = ".limine.requests")]
static REVISION: Shared<[u64; 3]> =
    Shared(UnsafeCell::new([tag::REVISION[0], tag::REVISION[1], limine::REVISION]));

#[used]
#[unsafe(link_section = ".limine.requests")]
static ENTRY: Shared<Entry> = Shared(UnsafeCell::new(Entry(limine::ENTRY, enter_limine)));

#[used]
#[unsafe(link_section = ".limine.requests")]
static COMMAND_LINE: Shared<Request> = Shared(UnsafeCell::new(limine::COMMAND_LINE));

#[used]
#[unsafe(link_section = ".limine.requests")]
static FILE: Shared<Request> = Shared(UnsafeCell::new(limine::FILE));

#[used]
#[unsafe(link_section = ".limine.requests")]
static DIRECT_MAP: Shared<Request> = Shared(UnsafeCell::new(limine::DIRECT_MAP));

#[used]
#[unsafe(link_section = ".limine.requests")]
static MEMORY_MAP: Shared<Request> = Shared(UnsafeCell::new(limine::MEMORY_MAP));

#[used]
#[unsafe(link_section = ".limine.requests")]
static ROOT: Shared<Request> = Shared(UnsafeCell::new(limine::ROOT));

#[used]
#[unsafe(link_section = ".limine.requests")]
static DATE: Shared<Request> = Shared(UnsafeCell::new(limine::DATE));

#[used]
#[unsafe(link_section = ".limine.requests")]
static IMAGE: Shared<Request> = Shared(UnsafeCell::new(limine::IMAGE));

#[used]
#[unsafe(link_section = ".limine.end")]
static END: Shared<[u64; 2]> = Shared(UnsafeCell::new(tag::END));

/// Where the answers are.
pub(crate) fn answers() -> Answers {
    Answers {
        command_line: COMMAND_LINE.answer(),
        file: FILE.answer(),
        direct_map: DIRECT_MAP.answer(),
        memory_map: MEMORY_MAP.answer(),
        root: ROOT.answer(),
        date: DATE.answer(),
        image: IMAGE.answer(),
    }
}
