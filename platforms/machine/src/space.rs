//! The address space in use, and mappings that are made while an image runs.

use crate::memory::{PAGE, Range, Ranges};
use crate::paging::{Access, AddressSpace, Format, PagingError, Table, Tables};
use alloc::alloc::{Layout, alloc_zeroed};
use core::ptr::NonNull;
use spinning_top::Spinlock;
use waitless::device::Registers;

/// The address space that all cores use, once there is one.
pub struct Space<F: Format>(Spinlock<Option<Mapped<F>>>);

/// An address space, and the memory that must never be mapped as a device's.
struct Mapped<F: Format> {
    pages: AddressSpace<F>,
    ram: Ranges,
}

/// How often the lock is tried. Changing a mapping takes microseconds.
const TRIES: u32 = 1_000_000;

impl<F: Format> Space<F> {
    /// None as yet.
    pub const fn new() -> Self {
        Self(Spinlock::new(None))
    }

    /// Makes `pages` the address space that later mappings go to. `ram` is never mapped as a
    /// device's.
    pub fn set(&self, pages: AddressSpace<F>, ram: Ranges) {
        *self.0.lock() = Some(Mapped { pages, ram });
    }

    /// Maps `length` bytes of device registers, at any `address` that is a multiple of 4.
    /// `None` for memory that is not a device's, and when memory is out. `flush` forgets
    /// translations.
    pub fn map_device(&self, address: u64, length: usize, flush: fn()) -> Option<Registers> {
        let pages = Range::sized(address, length as u64).outer_pages();
        // Whoever dies while holding the lock still gets to the power switch, by another way.
        let mut space = (0..TRIES).find_map(|_| self.0.try_lock())?;
        let space = space.as_mut()?;
        if pages.is_empty() || space.ram.iter().any(|ram| ram.overlaps(pages)) {
            return None;
        }
        space.pages.map(&mut HeapTables, pages, Access::Device).ok()?;
        flush();
        let base = NonNull::new(core::ptr::with_exposed_provenance_mut(pages.start() as usize))?;
        // SAFETY: just mapped for reading and writing, for good; starts at a page; and it is no
        // RAM, so no objects live there.
        let registers = unsafe { Registers::new(base, pages.length() as usize) };
        registers.part((address - pages.start()) as usize, length)
    }

    /// Changes what may be done with the whole pages of `range`, which is memory of the caller's;
    /// nothing at all where `access` is `None`. `flush` forgets translations.
    pub fn protect(
        &self,
        range: Range,
        access: Option<Access>,
        flush: fn(),
    ) -> Result<(), PagingError> {
        let mut space = self.0.lock();
        let Some(space) = space.as_mut() else { return Err(PagingError::OutOfReach) };
        match access {
            Some(access) => space.pages.map(&mut HeapTables, range, access)?,
            None => space.pages.unmap(&mut HeapTables, range)?,
        }
        flush();
        Ok(())
    }

    /// Maps the pages of `range` for reading, where they are not mapped at all.
    pub fn map_readable(&self, range: Range) -> Result<(), PagingError> {
        let pages = range.outer_pages();
        let mut space = self.0.lock();
        let Some(space) = space.as_mut() else { return Err(PagingError::OutOfReach) };
        for page in (pages.start()..pages.end()).step_by(PAGE as usize) {
            if space.pages.access(&mut HeapTables, page).is_none() {
                space.pages.map(&mut HeapTables, Range::sized(page, PAGE), Access::Read)?;
            }
        }
        Ok(())
    }
}

impl<F: Format> Default for Space<F> {
    fn default() -> Self {
        Self::new()
    }
}

/// Tables from free memory, before there is an allocator.
pub struct EarlyTables {
    free: Range,
    offset: u64,
}

impl EarlyTables {
    /// Tables from `free`, from its start on.
    ///
    /// # Safety
    /// The range consists of whole pages that can be read and written at their own addresses,
    /// and nobody else uses them until [`left`](Self::left) gave back what remains.
    pub unsafe fn new(free: Range) -> Self {
        Self { free, offset: 0 }
    }

    /// The same where memory is mapped `offset` bytes higher than it is, for now.
    ///
    /// # Safety
    /// The range consists of whole pages that can be read and written `offset` bytes higher, and
    /// nobody else uses them until [`left`](Self::left) gave back what remains.
    pub unsafe fn mapped_at(free: Range, offset: u64) -> Self {
        Self { free, offset }
    }

    /// What no table took.
    pub fn left(&self) -> Range {
        self.free
    }
}

impl Tables for EarlyTables {
    fn allocate(&mut self) -> Option<u64> {
        let address = self.free.start();
        if self.free.length() < PAGE {
            return None;
        }
        self.free = Range::new(address + PAGE, self.free.end());
        self.table(address).fill(0);
        Some(address)
    }

    fn table(&mut self, address: u64) -> &mut Table {
        // SAFETY: it comes from `allocate`, so it is a page of free memory that nobody else uses,
        // and this is where that is mapped.
        unsafe { table_at(address.wrapping_add(self.offset)) }
    }
}

/// Tables from the global allocator, which is memory mapped to itself.
struct HeapTables;

impl Tables for HeapTables {
    fn allocate(&mut self) -> Option<u64> {
        let layout = Layout::new::<PageTable>();
        // SAFETY: the layout has a size.
        let table = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(table.expose_provenance().get() as u64)
    }

    fn table(&mut self, address: u64) -> &mut Table {
        // SAFETY: `allocate` or boot gave the table out, and nobody freed it.
        unsafe { table_at(address) }
    }
}

/// The table at `address`.
///
/// # Safety
/// There is a table, and nobody else uses it for `'a`.
unsafe fn table_at<'a>(address: u64) -> &'a mut Table {
    let table = core::ptr::with_exposed_provenance_mut::<Table>(address as usize);
    // SAFETY: the caller vouches for it.
    unsafe { &mut *table }
}

#[repr(align(4096))]
struct PageTable(#[expect(dead_code, reason = "for its layout")] Table);
