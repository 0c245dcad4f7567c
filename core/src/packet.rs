//! Packets: 8-byte handles to pooled, DMA-able buffers, headers stripped and prepended in place.
//!
//! A [`Pool`] owns a fixed number of buffers. Having a [`Packet`] proves that nobody else may
//! read or write that buffer; dropping it gives the buffer back. A [`Held`] is a dormant second
//! handle: it keeps the buffer from being given back while a packet is on its way down to the
//! device, and becomes a packet again once the first handle is gone. So a transport keeps what it
//! may have to send again without copying it, and without ever writing under a device's hands.
//!
//! Everything here belongs to one core: no handle is `Send`. A buffer can change its pool, and so
//! its core, as a [`Parcel`]; `cores::crossing` is what does that.

#![allow(unsafe_code, reason = "buffers are shared with devices and recycled by hand")]

mod info;

pub use info::{ChecksumState, Info};

use crate::counter::{Counter, CounterSet};
use alloc::alloc::{Layout, alloc};
use alloc::boxed::Box;
use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::{NonNull, addr_of, addr_of_mut};

/// Bytes of a buffer. A packet with all its headers fits into this.
pub const CAPACITY: usize = 2048;

/// Bytes in front of a fresh packet's payload: room for the device's header (12), Ethernet (18),
/// IPv6 (40), TCP with options (60) and an HTTP response head.
pub const HEADROOM: usize = 448;

/// A handle to one buffer, and the right to read and write it.
pub struct Packet(NonNull<Buffer>, PhantomData<*mut ()>);

/// A dormant handle that keeps a buffer alive; see the module's documentation.
pub struct Held(NonNull<Buffer>, PhantomData<*mut ()>);

/// A packet's buffer that belongs to no pool, on its way to another core's. Having one proves that
/// there is no handle to the buffer on any core. One that is dropped is lost to every pool.
#[must_use = "a buffer that no pool adopts is lost"]
pub struct Parcel(NonNull<Buffer>);

// SAFETY: `into_parcel` and `spare` make one only of a buffer with a single handle, which they
// consume, and `adopt` and `restock` consume it: so whoever has it is alone with the buffer, and
// all of it may change hands. The pool that it left is not touched through it any more.
unsafe impl Send for Parcel {}

/// There is not enough room in the buffer for what should be added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoRoom;

impl Packet {
    /// The packet's bytes, headers that are not stripped included.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        let (start, end) = self.span();
        // SAFETY: `start <= end <= CAPACITY` (see `set_span`), the buffer outlives its pool's
        // handles, its bytes were initialised when it first left the pool, and this handle's
        // shared borrow keeps every writer away for as long as the slice lives.
        unsafe {
            let data = addr_of!((*self.0.as_ptr()).data).cast::<u8>();
            core::slice::from_raw_parts(data.add(start), end - start)
        }
    }

    /// The packet's bytes, to change in place.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let (start, end) = self.span();
        // SAFETY: as in `bytes`; the exclusive borrow of the only `Packet` of this buffer makes
        // the slice unique, and a `Held` never touches the bytes.
        unsafe {
            let data = addr_of_mut!((*self.0.as_ptr()).data).cast::<u8>();
            core::slice::from_raw_parts_mut(data.add(start), end - start)
        }
    }

    /// Bytes in the packet.
    #[inline]
    pub fn len(&self) -> usize {
        let (start, end) = self.span();
        end - start
    }

    /// Whether the packet has no bytes.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What travels with the packet.
    #[inline]
    pub fn info(&self) -> &Info {
        // SAFETY: only the one `Packet` of a buffer reaches `info`, and it is borrowed here.
        unsafe { &*addr_of!((*self.0.as_ptr()).info) }
    }

    /// What travels with the packet, to change it.
    #[inline]
    pub fn info_mut(&mut self) -> &mut Info {
        // SAFETY: only the one `Packet` of a buffer reaches `info`, and it is borrowed
        // exclusively here.
        unsafe { &mut *addr_of_mut!((*self.0.as_ptr()).info) }
    }

    /// Takes a header of `N` bytes off the front; `None` when the packet is shorter.
    #[inline]
    pub fn strip<const N: usize>(&mut self) -> Option<[u8; N]> {
        let header = *self.bytes().first_chunk::<N>()?;
        self.trim_front(N);
        Some(header)
    }

    /// Puts a header in front, where there is headroom for it.
    #[inline]
    pub fn prepend<const N: usize>(&mut self, header: [u8; N]) -> Result<(), NoRoom> {
        let room = self.grow_front(N)?.first_chunk_mut::<N>();
        *room.ok_or(NoRoom)? = header;
        Ok(())
    }

    /// Moves the front `count` bytes forward, and gives the whole packet to write into.
    #[inline]
    pub fn grow_front(&mut self, count: usize) -> Result<&mut [u8], NoRoom> {
        let (start, end) = self.span();
        let start = start.checked_sub(count).ok_or(NoRoom)?;
        self.set_span(start, end);
        Ok(self.bytes_mut())
    }

    /// Takes `count` bytes off the front; all of them when there are fewer.
    #[inline]
    pub fn trim_front(&mut self, count: usize) {
        let (start, end) = self.span();
        self.set_span(start.saturating_add(count).min(end), end);
    }

    /// Keeps the first `length` bytes; all of them when there are fewer.
    #[inline]
    pub fn truncate(&mut self, length: usize) {
        let (start, end) = self.span();
        self.set_span(start, start.saturating_add(length).min(end));
    }

    /// Adds `count` bytes at the end and gives them to write into. What they hold is left over
    /// from an earlier packet, so write all of them.
    #[inline]
    pub fn extend(&mut self, count: usize) -> Result<&mut [u8], NoRoom> {
        let (start, end) = self.span();
        let longer = end.checked_add(count).filter(|&end| end <= CAPACITY).ok_or(NoRoom)?;
        self.set_span(start, longer);
        Ok(&mut self.bytes_mut()[end - start..])
    }

    /// Adds `bytes` at the end.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        self.extend(bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    /// Empties the packet and leaves `headroom` bytes in front, at most [`CAPACITY`].
    #[inline]
    pub fn reset(&mut self, headroom: usize) {
        let start = headroom.min(CAPACITY);
        self.set_span(start, start);
        *self.info_mut() = Info::default();
    }

    /// Bytes that headers can still take in front.
    #[inline]
    pub fn headroom(&self) -> usize {
        self.span().0
    }

    /// Bytes that can still be added at the end.
    #[inline]
    pub fn tailroom(&self) -> usize {
        CAPACITY - self.span().1
    }

    /// Where a device finds the packet's first byte.
    #[inline]
    pub fn dma_address(&self) -> u64 {
        let start = self.span().0;
        // SAFETY: the field is written once, when the buffer first leaves the pool.
        let data = unsafe { addr_of!((*self.0.as_ptr()).dma).read() };
        data + start as u64
    }

    /// Asks for the checksum of everything from `header` bytes behind the front on to be
    /// completed by the device, into the field `offset` bytes further, which holds the pseudo
    /// header's folded sum. Positions survive headers that are prepended later.
    #[inline]
    pub fn request_checksum(&mut self, header: usize, offset: usize) {
        let start = (self.span().0 + header) as u16;
        self.info_mut().checksum = ChecksumState::Partial { start, offset: offset as u16 };
    }

    /// Writes the checksum that [`request_checksum`](Self::request_checksum) asked for, where
    /// no device will. Does nothing when there is nothing left to do.
    pub fn complete_checksum(&mut self) {
        let ChecksumState::Partial { start, offset } = self.info().checksum else { return };
        let from = usize::from(start).saturating_sub(self.span().0);
        let field = from + usize::from(offset);
        let Some(region) = self.bytes().get(from..) else { return };
        // RFC 768, RFC 8200 section 8.1: zero says that there is none, so UDP writes all ones
        // instead, which to every protocol is the same number.
        let sum = match crate::checksum::checksum(region) {
            0 => u16::MAX,
            sum => sum,
        };
        if let Some(room) = self.bytes_mut().get_mut(field..field + 2) {
            room.copy_from_slice(&sum.to_be_bytes());
        }
        self.info_mut().checksum = ChecksumState::Unknown;
    }

    /// A copy in a buffer of its own, with what [`Info::ip_header`] says to stand in front of it;
    /// `None` when the pool is empty.
    pub fn duplicate(&self) -> Option<Self> {
        let (start, end) = self.span();
        let front = usize::from(self.info().ip_header).min(start);
        // SAFETY: as in `bytes`: all bytes of the buffer are initialised, so those in front of
        // the packet, too, and `start - front <= end <= CAPACITY`.
        let whole = unsafe {
            let data = addr_of!((*self.0.as_ptr()).data).cast::<u8>();
            core::slice::from_raw_parts(data.add(start - front), end - start + front)
        };
        let mut copy = self.pool().packet()?;
        copy.reset(start - front);
        copy.append(whole).ok()?;
        copy.trim_front(front);
        *copy.info_mut() = *self.info();
        Some(copy)
    }

    /// A dormant handle that remembers where the packet's bytes are now, so that they can be
    /// sent again; `None` when there is one already.
    #[inline]
    pub fn hold(&self) -> Option<Held> {
        let (start, end) = self.span();
        let state = self.state();
        if state.get() & HELD != 0 {
            return None;
        }
        state.set(state.get() | HELD);
        // SAFETY: `held` is reached by nobody but the one `Held`, which does not exist yet.
        unsafe { addr_of_mut!((*self.0.as_ptr()).held).write((start as u16, end as u16)) };
        Some(Held(self.0, PhantomData))
    }

    /// Puts `next` behind this packet: a device that segments sends both as one frame.
    /// What stood behind this packet is dropped.
    pub fn set_next(&mut self, next: Option<Packet>) {
        drop(self.take_next());
        let next = next.map(|packet| {
            let buffer = packet.0;
            core::mem::forget(packet);
            buffer
        });
        // SAFETY: while a `Packet` exists, `next` belongs to it: the pool uses the field only
        // for buffers that have none.
        unsafe { addr_of_mut!((*self.0.as_ptr()).next).write(next) };
    }

    /// Takes what stands behind this packet.
    #[inline]
    pub fn take_next(&mut self) -> Option<Packet> {
        // SAFETY: as in `set_next`; what the field holds was made from a `Packet` that was
        // forgotten there, so this is its one handle again.
        unsafe {
            let next = addr_of_mut!((*self.0.as_ptr()).next).replace(None);
            next.map(|buffer| Packet(buffer, PhantomData))
        }
    }

    /// Bytes of this packet and of all that stand behind it.
    pub fn chain_len(&self) -> usize {
        let mut total = self.len();
        // SAFETY: the chain's buffers are owned by this packet, which is borrowed.
        let mut at = unsafe { addr_of!((*self.0.as_ptr()).next).read() };
        while let Some(buffer) = at {
            // SAFETY: as above.
            unsafe {
                let (start, end) = addr_of!((*buffer.as_ptr()).span).read();
                total += usize::from(end - start);
                at = addr_of!((*buffer.as_ptr()).next).read();
            }
        }
        total
    }

    /// Where a device finds this packet and all that stand behind it, and their lengths.
    #[inline]
    pub fn parts(&self) -> impl Iterator<Item = (u64, usize)> {
        let mut at = Some(self.0);
        core::iter::from_fn(move || {
            let buffer = at?;
            // SAFETY: the chain's buffers are owned by this packet, which is borrowed for as
            // long as the iterator lives; `dma` is written once, `span` is valid.
            unsafe {
                at = addr_of!((*buffer.as_ptr()).next).read();
                let (start, end) = addr_of!((*buffer.as_ptr()).span).read();
                let data = addr_of!((*buffer.as_ptr()).dma).read();
                Some((data + u64::from(start), usize::from(end - start)))
            }
        })
    }

    /// Where a device finds this packet, and its length; `None` when others stand behind it.
    #[inline]
    pub fn only_part(&self) -> Option<(u64, usize)> {
        let (start, end) = self.span();
        // SAFETY: `next` belongs to this packet, by value, and `dma` is written once.
        let (next, data) = unsafe {
            (addr_of!((*self.0.as_ptr()).next).read(), addr_of!((*self.0.as_ptr()).dma).read())
        };
        next.is_none().then_some((data + start as u64, end - start))
    }

    /// Takes the packet's buffer out of its pool, for another core's. `Err` for a packet of which
    /// there is a dormant handle, and for one with others behind it: they are not alone.
    #[inline]
    pub fn into_parcel(self) -> Result<Parcel, Self> {
        // SAFETY: while a `Packet` exists, `next` belongs to it, by value.
        let next = unsafe { addr_of!((*self.0.as_ptr()).next).read() };
        if self.state().get() != PACKET || next.is_some() {
            return Err(self);
        }
        let buffer = self.0;
        core::mem::forget(self);
        Ok(Parcel(buffer))
    }

    /// The pool this packet came from.
    #[inline]
    pub fn pool(&self) -> Pool {
        // SAFETY: the field is written when the buffer first leaves a pool or changes it, neither
        // of which can happen while there is a packet, and a pool is never freed.
        Pool(unsafe { &*addr_of!((*self.0.as_ptr()).pool).read() })
    }

    #[inline]
    fn span(&self) -> (usize, usize) {
        // SAFETY: `span` is reached by handles of this buffer on this core only, by value.
        let (start, end) = unsafe { addr_of!((*self.0.as_ptr()).span).read() };
        let (start, end) = (usize::from(start), usize::from(end));
        // SAFETY: whoever writes the field keeps that: see `set_span`.
        unsafe { core::hint::assert_unchecked(start <= end && end <= CAPACITY) };
        (start, end)
    }

    /// Every caller keeps `start <= end <= CAPACITY`; that is what `bytes` relies on.
    #[inline]
    fn set_span(&mut self, start: usize, end: usize) {
        debug_assert!(start <= end && end <= CAPACITY);
        // SAFETY: as in `span`.
        unsafe { addr_of_mut!((*self.0.as_ptr()).span).write((start as u16, end as u16)) };
    }

    #[inline]
    fn state(&self) -> &Cell<u8> {
        // SAFETY: a cell, shared by at most the two handles of this buffer, on one core.
        unsafe { &*addr_of!((*self.0.as_ptr()).state) }
    }
}

impl Drop for Packet {
    #[inline]
    fn drop(&mut self) {
        if let Some(next) = self.take_next() {
            drop_chain(next);
        }
        release(self.0, PACKET);
    }
}

/// Drops a packet that stood behind another, and all behind it. A loop, so that a long chain
/// cannot recurse.
#[cold]
fn drop_chain(first: Packet) {
    let mut next = Some(first);
    while let Some(mut packet) = next {
        next = packet.take_next();
        drop(packet);
    }
}

impl Held {
    /// The packet again, with the bytes it had when it was held; `Err` as long as its other
    /// handle lives, that is, until the device has sent it.
    #[inline]
    pub fn reclaim(self) -> Result<Packet, Self> {
        // SAFETY: a cell, shared by at most the two handles of this buffer, on one core.
        let state = unsafe { &*addr_of!((*self.0.as_ptr()).state) };
        if state.get() & PACKET != 0 {
            return Err(self);
        }
        state.set(PACKET);
        let buffer = self.0;
        core::mem::forget(self);
        // SAFETY: no `Packet` of this buffer exists (its bit was clear) and the one `Held` was
        // just forgotten, so every field is ours. `held` was a valid span when it was written.
        unsafe {
            let span = addr_of!((*buffer.as_ptr()).held).read();
            addr_of_mut!((*buffer.as_ptr()).span).write(span);
        }
        let mut packet = Packet(buffer, PhantomData);
        packet.info_mut().checksum = ChecksumState::Unknown;
        packet.info_mut().segment = 0;
        Ok(packet)
    }

    /// Whether [`reclaim`](Self::reclaim) would succeed.
    #[inline]
    pub fn is_free(&self) -> bool {
        // SAFETY: a cell, shared by at most the two handles of this buffer, on one core.
        let state = unsafe { &*addr_of!((*self.0.as_ptr()).state) };
        state.get() & PACKET == 0
    }

    /// Bytes of the packet when it was held.
    #[inline]
    pub fn len(&self) -> usize {
        // SAFETY: `held` belongs to the one `Held`, by value.
        let (start, end) = unsafe { addr_of!((*self.0.as_ptr()).held).read() };
        usize::from(end - start)
    }

    /// Whether the packet had no bytes when it was held.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Drop for Held {
    #[inline]
    fn drop(&mut self) {
        release(self.0, HELD);
    }
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packet").field("len", &self.len()).field("info", self.info()).finish()
    }
}

impl fmt::Debug for Parcel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parcel")
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("len", &self.len()).finish()
    }
}

impl fmt::Write for Packet {
    /// Adds text at the end; an error when it does not fit.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.append(text.as_bytes()).map_err(|NoRoom| fmt::Error)
    }
}

/// One core's buffers. A copyable handle; the buffers live as long as the image.
#[derive(Clone, Copy)]
pub struct Pool(&'static Shared);

impl Pool {
    /// Bytes of memory that one buffer takes.
    pub const BUFFER_SIZE: usize = size_of::<Buffer>();

    /// A pool of `count` buffers from the global allocator, never given back.
    ///
    /// `dma_offset` is added (wrapping) to a buffer's address to get the address that devices
    /// use; 0 where memory is mapped to itself, or where there are no devices. A buffer's memory
    /// is not touched before its first use. `None` when there is not enough memory.
    pub fn new(count: usize, dma_offset: u64) -> Option<Self> {
        let layout = Layout::array::<Buffer>(count).ok()?;
        let base = if layout.size() == 0 {
            NonNull::dangling()
        } else {
            // SAFETY: the layout's size is not zero.
            NonNull::new(unsafe { alloc(layout) })?.cast()
        };
        let available = Counter::new();
        available.set(count as u64);
        Some(Self(Box::leak(Box::new(Shared {
            free: Cell::new(None),
            base,
            fresh: Cell::new(0),
            count,
            dma_offset,
            counters: Counters { available, ..Counters::default() },
        }))))
    }

    /// An empty packet with [`HEADROOM`]; `None`, counted, when all buffers are in use.
    #[inline]
    pub fn packet(&self) -> Option<Packet> {
        let shared = self.0;
        let buffer = match shared.free.get() {
            Some(buffer) => {
                // SAFETY: a buffer on the free list has no handles, and its `next` was written
                // by `release`.
                shared.free.set(unsafe { addr_of!((*buffer.as_ptr()).next).read() });
                buffer
            }
            None => self.fresh()?,
        };
        // SAFETY: the buffer is initialised (it was either used before or is fresh), and has no
        // other handle: it just left the free list or was never handed out.
        unsafe {
            addr_of_mut!((*buffer.as_ptr()).next).write(None);
            addr_of_mut!((*buffer.as_ptr()).span).write((HEADROOM as u16, HEADROOM as u16));
            addr_of_mut!((*buffer.as_ptr()).info).write(Info::default());
            (*addr_of!((*buffer.as_ptr()).state)).set(PACKET);
        }
        shared.counters.available.sub(1);
        shared.counters.taken.add(1);
        Some(Packet(buffer, PhantomData))
    }

    /// Makes a packet of another core's one of this pool, whose number of buffers it adds to.
    #[inline]
    pub fn adopt(&self, parcel: Parcel) -> Packet {
        let buffer = parcel.0;
        // SAFETY: having a parcel proves that nobody else reaches the buffer, whose fields are as
        // the packet left them: one handle, nothing behind it.
        unsafe { addr_of_mut!((*buffer.as_ptr()).pool).write(self.0) };
        self.0.counters.taken.add(1);
        Packet(buffer, PhantomData)
    }

    /// A free buffer for another pool; `None`, not counted, when all are in use.
    #[inline]
    pub fn spare(&self) -> Option<Parcel> {
        if self.available() == 0 {
            return None;
        }
        let taken = self.0.counters.taken.get();
        let parcel = self.packet()?.into_parcel().ok();
        // Nobody gets a packet, so none is counted.
        self.0.counters.taken.set(taken);
        parcel
    }

    /// Adds a buffer of another pool to those that are free.
    #[inline]
    pub fn restock(&self, parcel: Parcel) {
        let taken = self.0.counters.taken.get();
        drop(self.adopt(parcel));
        self.0.counters.taken.set(taken);
    }

    /// Buffers that are free now.
    #[inline]
    pub fn available(&self) -> usize {
        self.0.counters.available.get() as usize
    }

    /// Whether less than half of the buffers is free. Who holds several for somebody who
    /// does not take them then makes do with one, so that all others still get theirs.
    #[inline]
    pub fn is_short(&self) -> bool {
        self.available() < self.0.count / 2
    }

    /// Packets handed out so far. Who wants to know whether a sweep did anything finds it here.
    #[inline]
    pub fn taken(&self) -> u64 {
        self.0.counters.taken.get()
    }

    /// Buffers that are not free.
    pub fn missing(&self) -> usize {
        self.0.count.saturating_sub(self.available())
    }

    /// Buffers that there are when none is on another core.
    pub fn count(&self) -> usize {
        self.0.count
    }

    /// What the pool counts.
    pub fn counters(&self) -> &'static dyn CounterSet {
        &self.0.counters
    }

    /// A buffer that was never used, made ready.
    #[cold]
    fn fresh(&self) -> Option<NonNull<Buffer>> {
        let index = self.0.fresh.get();
        if index == self.0.count {
            self.0.counters.exhausted.add(1);
            return None;
        }
        self.0.fresh.set(index + 1);
        // SAFETY: `index < count`, so the pointer stays inside the pool's allocation, of which
        // this buffer was never handed out; zeroes and the writes below make all of it valid.
        unsafe {
            let buffer = self.0.base.add(index);
            let data = addr_of_mut!((*buffer.as_ptr()).data);
            data.write_bytes(0, 1);
            addr_of_mut!((*buffer.as_ptr()).state).write(Cell::new(0));
            addr_of_mut!((*buffer.as_ptr()).held).write((0, 0));
            addr_of_mut!((*buffer.as_ptr()).pool).write(self.0);
            let address = (data as u64).wrapping_add(self.0.dma_offset);
            addr_of_mut!((*buffer.as_ptr()).dma).write(address);
            Some(buffer)
        }
    }
}

crate::counters! {
    /// What a pool counts.
    struct Counters {
        /// Buffers that are free.
        gauge available: buffers,
        /// Packets handed out.
        counter taken: packets,
        /// Times that a packet was wanted and none was free.
        counter exhausted: times,
    }
}

struct Shared {
    free: Cell<Option<NonNull<Buffer>>>,
    base: NonNull<Buffer>,
    /// Buffers below this index were used at least once.
    fresh: Cell<usize>,
    count: usize,
    dma_offset: u64,
    counters: Counters,
}

/// The head takes two cache lines, the data starts on a line of its own.
#[repr(C, align(64))]
struct Buffer {
    /// The next free buffer, or, while a packet lives, what stands behind it.
    next: Option<NonNull<Buffer>>,
    pool: *const Shared,
    dma: u64,
    /// Where the packet's bytes start and end in `data`.
    span: (u16, u16),
    /// The span at the time of `hold`.
    held: (u16, u16),
    /// Which handles exist: `PACKET`, `HELD`, both, or (on the free list) none.
    state: Cell<u8>,
    info: Info,
    data: Data,
}

#[repr(align(64))]
struct Data(#[expect(dead_code, reason = "reached by pointer only")] [u8; CAPACITY]);

const PACKET: u8 = 1;
const HELD: u8 = 2;

const _: () = assert!(size_of::<Packet>() == 8 || size_of::<usize>() != 8);
const _: () = assert!(size_of::<Buffer>() == 128 + CAPACITY);

/// Takes one handle away; the last one gives the buffer back to its pool.
#[inline]
fn release(buffer: NonNull<Buffer>, handle: u8) {
    // SAFETY: the caller gives up a handle that exists, so the buffer is valid; the state cell
    // is shared by at most two handles on one core. When no bit is left, no handle is, and the
    // free list may own the buffer.
    unsafe {
        let state = &*addr_of!((*buffer.as_ptr()).state);
        state.set(state.get() & !handle);
        if state.get() == 0 {
            let shared = &*addr_of!((*buffer.as_ptr()).pool).read();
            addr_of_mut!((*buffer.as_ptr()).next).write(shared.free.get());
            shared.free.set(Some(buffer));
            shared.counters.available.add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Pool {
        Pool::new(4, 0).expect("memory")
    }

    #[test]
    fn headers_are_stripped_and_prepended_in_place() {
        let mut packet = pool().packet().unwrap();
        packet.append(b"payload").unwrap();
        packet.prepend(*b"head").unwrap();
        assert_eq!(packet.bytes(), b"headpayload");
        assert_eq!(packet.strip::<4>(), Some(*b"head"));
        assert_eq!(packet.strip::<8>(), None);
        packet.truncate(3);
        assert_eq!(packet.bytes(), b"pay");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut packet = pool().packet().unwrap();
        assert_eq!(packet.append(&[0; CAPACITY]), Err(NoRoom));
        assert_eq!(packet.prepend([0; HEADROOM + 1]), Err(NoRoom));
        assert!(packet.is_empty());
        packet.prepend([0; HEADROOM]).unwrap();
        packet.append(&[0; CAPACITY - HEADROOM]).unwrap();
        assert_eq!((packet.headroom(), packet.tailroom(), packet.len()), (0, 0, CAPACITY));
        packet.trim_front(usize::MAX);
        assert!(packet.is_empty());
    }

    #[test]
    fn dropping_gives_the_buffer_back_and_exhaustion_is_counted() {
        let pool = pool();
        let packets: [Packet; 4] = core::array::from_fn(|_| pool.packet().unwrap());
        assert!(pool.packet().is_none());
        assert_eq!((pool.available(), pool.0.counters.exhausted.get()), (0, 1));
        drop(packets);
        assert_eq!(pool.available(), 4);
        assert!(pool.packet().is_some());
    }

    #[test]
    fn a_copy_keeps_the_header_that_was_stripped() {
        let mut packet = pool().packet().unwrap();
        packet.append(b"headerpayload").unwrap();
        packet.trim_front(6);
        packet.info_mut().ip_header = 6;
        let mut copy = packet.duplicate().unwrap();
        assert_eq!((copy.bytes(), copy.headroom()), (packet.bytes(), packet.headroom()));
        assert_eq!(copy.grow_front(6).unwrap(), b"headerpayload");
    }

    #[test]
    fn a_held_packet_comes_back_once_the_device_is_done() {
        let pool = pool();
        let mut packet = pool.packet().unwrap();
        packet.append(b"segment").unwrap();
        let held = packet.hold().unwrap();
        assert!(packet.hold().is_none());
        packet.prepend(*b"header").unwrap();
        let held = held.reclaim().expect_err("the packet is still under way");
        drop(packet);
        assert_eq!(pool.available(), 3, "the held handle keeps the buffer");
        let packet = held.reclaim().unwrap();
        assert_eq!(packet.bytes(), b"segment", "without the headers of the first sending");
        drop(packet);
        assert_eq!(pool.available(), 4);
    }

    #[test]
    fn a_held_packet_may_be_dropped_first() {
        let pool = pool();
        let packet = pool.packet().unwrap();
        drop(packet.hold());
        assert_eq!(pool.available(), 3);
        drop(packet);
        assert_eq!(pool.available(), 4);
    }

    #[test]
    fn a_packet_changes_its_pool_and_goes_back_to_the_new_one() {
        let (home, away) = (pool(), pool());
        let mut packet = home.packet().unwrap();
        packet.append(b"frame").unwrap();
        packet.info_mut().hops = 9;
        let packet = away.adopt(packet.into_parcel().unwrap());
        assert_eq!((packet.bytes(), packet.info().hops), (&b"frame"[..], 9));
        assert_eq!((home.available(), away.available()), (3, 4));
        drop(packet);
        assert_eq!((home.available(), away.available()), (3, 5));
        home.restock(away.spare().unwrap());
        assert_eq!((home.available(), away.available()), (4, 4));
        assert_eq!((home.taken(), away.taken()), (1, 1), "who gets no packet counts none");
        let all: [Packet; 4] = core::array::from_fn(|_| away.packet().unwrap());
        assert!(away.spare().is_none() && away.0.counters.exhausted.get() == 0);
        drop(all);
    }

    #[test]
    fn a_packet_that_is_not_alone_stays() {
        let pool = pool();
        let mut packet = pool.packet().unwrap();
        let held = packet.hold();
        packet = packet.into_parcel().expect_err("there is a second handle");
        drop(held);
        packet.set_next(pool.packet());
        packet = packet.into_parcel().expect_err("there is a second packet");
        packet.set_next(None);
        let _ = pool.adopt(packet.into_parcel().unwrap());
        assert_eq!(pool.available(), 4);
    }

    #[test]
    fn a_chain_is_dropped_as_a_whole() {
        let pool = pool();
        let mut packets = core::array::from_fn::<_, 3, _>(|_| {
            let mut packet = pool.packet().unwrap();
            packet.append(b"abc").unwrap();
            Some(packet)
        });
        let mut second = packets[1].take().unwrap();
        second.set_next(packets[2].take());
        let mut first = packets[0].take().unwrap();
        first.set_next(Some(second));
        assert_eq!(first.chain_len(), 9);
        assert_eq!(first.parts().count(), 3);
        assert_eq!(first.parts().next(), Some((first.dma_address(), 3)));
        drop(first);
        assert_eq!(pool.available(), 4);
    }

    #[test]
    fn a_checksum_of_zero_is_written_as_all_ones() {
        let mut packet = pool().packet().unwrap();
        packet.append(&[0x12, 0x34, 0, 0, 0xed, 0xcb]).unwrap();
        packet.request_checksum(0, 2);
        packet.complete_checksum();
        assert_eq!(packet.bytes()[2..4], [0xff, 0xff]);
        assert!(crate::checksum::Checksum::new().add(packet.bytes()).is_valid());
    }

    #[test]
    fn a_requested_checksum_survives_headers_in_front() {
        let mut packet = pool().packet().unwrap();
        packet.append(&[0x12, 0x34, 0, 0, 0x56, 0x78]).unwrap();
        packet.request_checksum(0, 2);
        packet.prepend([0xff; 20]).unwrap();
        packet.complete_checksum();
        packet.trim_front(20);
        assert!(crate::checksum::Checksum::new().add(packet.bytes()).is_valid());
    }
}
