//! Page tables: which memory may be read, written and executed.
//!
//! All memory is mapped to itself, and an image maybe elsewhere. The largest pages that fit are
//! used, and a large page is split when a part of it needs something else. Nothing is ever both
//! writable and executable: there is no [`Access`] that says so.

use crate::memory::{PAGE, Range};

/// What may be done with a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Read.
    Read,
    /// Read and write.
    ReadWrite,
    /// Read and execute.
    ReadExecute,
    /// Read and write past all caches: device registers.
    Device,
}

/// A table of one level.
pub type Table = [u64; 512];

/// Where tables come from and how they are reached.
pub trait Tables {
    /// The physical address of a new table full of zeroes; `None` when memory is out.
    fn allocate(&mut self) -> Option<u64>;
    /// The table at a physical address that [`allocate`](Self::allocate) gave.
    fn table(&mut self, address: u64) -> &mut Table;
}

/// Why a range cannot be mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PagingError {
    /// There is no memory left for tables.
    OutOfMemory,
    /// The range does not consist of whole pages, or reaches beyond what four levels map.
    OutOfReach,
}

impl core::fmt::Display for PagingError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::OutOfMemory => "not enough memory for page tables",
            Self::OutOfReach => "memory lies beyond what four levels of tables reach",
        })
    }
}

/// How an architecture writes the entries of its tables: four levels of 512 entries of 64 bits,
/// over pages of 4 KiB. An entry of zero maps nothing.
pub trait Format: Copy + core::fmt::Debug {
    /// The bits of an address in an entry.
    const ADDRESS: u64;

    /// The entry of a page at `address`, of 4 KiB at level 0, of 2 MiB at level 1, of 1 GiB at
    /// level 2.
    fn page(address: u64, level: u32, access: Access) -> u64;

    /// The entry that leads to the table at `address`.
    fn table(address: u64) -> u64;

    /// What the entry of this level means.
    fn read(entry: u64, level: u32) -> Entry;
}

/// What an entry means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    /// Nothing is mapped.
    Nothing,
    /// A page with these rights.
    Page(Access),
    /// The next level's table is at this address.
    Table(u64),
}

/// The tables of an address space of four levels, where every address means itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AddressSpace<F> {
    root: u64,
    huge: bool,
    format: core::marker::PhantomData<F>,
}

/// The first address that the lower half of four levels does not reach.
pub const LIMIT: u64 = 1 << 47;

impl<F: Format> AddressSpace<F> {
    /// An address space with nothing in it. `huge` says whether pages of 1 GiB may be used.
    pub fn new(tables: &mut impl Tables, huge: bool) -> Result<Self, PagingError> {
        let root = tables.allocate().ok_or(PagingError::OutOfMemory)?;
        Ok(Self { root, huge, format: core::marker::PhantomData })
    }

    /// The root table's address, for the processor.
    pub fn root(self) -> u64 {
        self.root
    }

    /// Maps `range`, which consists of whole pages, to itself. What has these rights already is
    /// left as it is.
    pub fn map(
        self,
        tables: &mut impl Tables,
        range: Range,
        access: Access,
    ) -> Result<(), PagingError> {
        self.change(tables, range.start(), range, Some(access))
    }

    /// Maps `range`, which consists of whole pages, to `at` and what follows, in the lower or in
    /// the upper half of addresses. For one range and one distance to it.
    pub fn map_at(
        self,
        tables: &mut impl Tables,
        at: u64,
        range: Range,
        access: Access,
    ) -> Result<(), PagingError> {
        self.change(tables, at, range, Some(access))
    }

    /// Takes `range`, which consists of whole pages, away: an access to these addresses faults.
    pub fn unmap(self, tables: &mut impl Tables, range: Range) -> Result<(), PagingError> {
        self.change(tables, range.start(), range, None)
    }

    /// Whether `address` is mapped, with the rights that it has.
    pub fn access(self, tables: &mut impl Tables, address: u64) -> Option<Access> {
        let mut table = self.root;
        for level in (0..4).rev() {
            match F::read(tables.table(table)[index(address, level)], level) {
                Entry::Nothing => return None,
                Entry::Page(access) => return Some(access),
                Entry::Table(below) => table = below,
            }
        }
        None
    }

    fn change(
        self,
        tables: &mut impl Tables,
        at: u64,
        range: Range,
        access: Option<Access>,
    ) -> Result<(), PagingError> {
        let last = at.checked_add(range.length().saturating_sub(1)).filter(|last| reached(*last));
        let whole = (at | range.start() | range.end()).is_multiple_of(PAGE);
        if !reached(at) || last.is_none_or(|last| (last ^ at) >> 63 != 0) || !whole {
            return Err(PagingError::OutOfReach);
        }
        let mut done = 0;
        while done < range.length() {
            let (from, to) = (at + done, range.start() + done);
            let level = self.level(from | to, range.length() - done);
            self.set(tables, from, to, level, access)?;
            done += size(level);
        }
        Ok(())
    }

    /// The level of the largest page that may start at `address` and ends within `left` bytes.
    fn level(self, address: u64, left: u64) -> u32 {
        let fits = |level| address.is_multiple_of(size(level)) && size(level) <= left;
        match () {
            () if self.huge && fits(2) => 2,
            () if fits(1) => 1,
            () => 0,
        }
    }

    /// Maps the page at `address` of this level to `to` with these rights, or takes it away.
    fn set(
        self,
        tables: &mut impl Tables,
        address: u64,
        to: u64,
        level: u32,
        access: Option<Access>,
    ) -> Result<(), PagingError> {
        let mut table = self.root;
        for above in (level + 1..4).rev() {
            let entry = tables.table(table)[index(address, above)];
            if let (Entry::Page(old), Some(new)) = (F::read(entry, above), access)
                && old == new
            {
                return Ok(());
            }
            table = descend::<F>(tables, table, index(address, above), above)?;
        }
        let entry = access.map_or(0, |access| F::page(to, level, access));
        tables.table(table)[index(address, level)] = entry;
        Ok(())
    }
}

/// The table that `table[index]` of this level leads to: made when missing, split off when the
/// entry is a large page.
fn descend<F: Format>(
    tables: &mut impl Tables,
    table: u64,
    index: usize,
    level: u32,
) -> Result<u64, PagingError> {
    let entry = tables.table(table)[index];
    let meaning = F::read(entry, level);
    if let Entry::Table(below) = meaning {
        return Ok(below);
    }
    let below = tables.allocate().ok_or(PagingError::OutOfMemory)?;
    if let Entry::Page(access) = meaning {
        let (start, step) = (entry & F::ADDRESS, size(level - 1));
        for (part, child) in tables.table(below).iter_mut().enumerate() {
            *child = F::page(start + part as u64 * step, level - 1, access);
        }
    }
    tables.table(table)[index] = F::table(below);
    Ok(below)
}

/// Whether four levels reach `address`: all bits from 47 on are equal.
const fn reached(address: u64) -> bool {
    (address.cast_signed() << 16) >> 16 == address.cast_signed()
}

/// Bytes of a page of this level.
const fn size(level: u32) -> u64 {
    PAGE << (9 * level)
}

const fn index(address: u64, level: u32) -> usize {
    (address >> (12 + 9 * level)) as usize % 512
}

#[cfg(test)]
mod tests;
