//! Where connections are: places that are used again, each time as a new generation.

use crate::connection::{Connection, Remains};
use waitless::Stream;

/// All connections. It grows with use, up to its limit.
pub struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// What ended connections left.
    remains: Vec<Remains>,
    limit: usize,
}

/// Ended connections whose memory is kept.
const REMAINS_MAX: usize = 1024;

struct Slot {
    /// A handle with another generation is an old one.
    generation: u32,
    connection: Option<Connection>,
}

impl Table {
    /// An empty table for at most `limit` connections.
    pub fn new(limit: usize) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), remains: Vec::new(), limit }
    }

    /// How many connections there are.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// How many places there are, free ones too.
    pub fn places(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is no place left.
    pub fn is_full(&self) -> bool {
        self.len() >= self.limit
    }

    /// The place that the next connection gets.
    pub fn next_index(&self) -> u32 {
        self.free.last().copied().unwrap_or(self.slots.len() as u32)
    }

    /// Puts a connection at [`next_index`](Self::next_index). The table is not full.
    pub fn insert(&mut self, connection: Connection) -> Stream {
        let index = self.next_index();
        match self.free.pop().and_then(|index| self.slots.get_mut(index as usize)) {
            Some(slot) => slot.connection = Some(connection),
            None => self.slots.push(Slot { generation: 0, connection: Some(connection) }),
        }
        Stream { index, generation: self.generation(index) }
    }

    /// The connection that `stream` is a handle of.
    #[inline]
    pub fn get(&self, stream: Stream) -> Option<&Connection> {
        let slot = self.slots.get(stream.index as usize)?;
        slot.connection.as_ref().filter(|_| slot.generation == stream.generation)
    }

    /// The connection that `stream` is a handle of, to change it.
    #[inline]
    pub fn get_mut(&mut self, stream: Stream) -> Option<&mut Connection> {
        let slot = self.slots.get_mut(stream.index as usize)?;
        slot.connection.as_mut().filter(|_| slot.generation == stream.generation)
    }

    /// The connection at a place, whether or not anybody has a handle of it.
    #[inline]
    pub fn at_mut(&mut self, index: u32) -> Option<&mut Connection> {
        self.slots.get_mut(index as usize)?.connection.as_mut()
    }

    /// The generation that handles of this place have.
    pub fn generation(&self, index: u32) -> u32 {
        self.slots.get(index as usize).map_or(0, |slot| slot.generation)
    }

    /// Makes all handles of the place old. The connection stays.
    pub fn retire(&mut self, index: u32) {
        if let Some(slot) = self.slots.get_mut(index as usize) {
            slot.generation = slot.generation.wrapping_add(1);
        }
    }

    /// Memory for the next connection.
    pub fn remains(&mut self) -> Remains {
        self.remains.pop().unwrap_or_default()
    }

    /// Frees the place. The host closes the socket with it.
    pub fn remove(&mut self, index: u32) {
        if let Some(slot) = self.slots.get_mut(index as usize)
            && let Some(connection) = slot.connection.take()
        {
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(index);
            let remains = connection.into_remains();
            if self.remains.len() < REMAINS_MAX {
                self.remains.push(remains);
            }
        }
    }
}
