//! Queues of packets: one slab of nodes that all connections share, linked by index.

use crate::seq::Seq;
use alloc::vec::Vec;
use waitless::{Held, Packet};

/// No node.
pub const NIL: u32 = u32::MAX;

/// What a node keeps of its packet.
pub enum Data {
    /// Nothing; the node is free, or its packet is being worked on.
    Nothing,
    /// The packet itself: received, or to be sent.
    Packet(Packet),
    /// A handle to send it again with.
    Held(Held),
}

/// One packet of a queue.
pub struct Node {
    /// The packet.
    pub data: Data,
    /// The sequence number of its first byte.
    pub seq: Seq,
    /// When it was last sent, in microseconds modulo 2^32. In the reassembly queue, how many had
    /// come early before it.
    pub sent_at: u32,
    /// Bytes of it that count. A packet to send may be longer while a service writes into it.
    pub len: u16,
    /// What is known of it: see [`mark`].
    pub marks: u8,
    side: Side,
    next: u32,
}

/// What is known of a node.
pub mod mark {
    /// A FIN follows the last byte; in the reassembly queue only.
    pub const FIN: u8 = 1;
    /// The other side has it, but not all that is before it.
    pub const SACKED: u8 = 1 << 1;
    /// It is taken for lost, and was not sent again since.
    pub const LOST: u8 = 1 << 2;
    /// It was sent more than once.
    pub const AGAIN: u8 = 1 << 3;
    /// It is longer than what is known to pass.
    pub const PROBE: u8 = 1 << 4;
}

impl Node {
    /// Whether one of `marks` is set.
    #[inline]
    pub fn has(&self, marks: u8) -> bool {
        self.marks & marks != 0
    }

    /// The sequence number after its last byte.
    #[inline]
    pub fn end(&self) -> Seq {
        self.seq + u32::from(self.len)
    }

    /// The packet's bytes that count; empty when it is not here.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match &self.data {
            Data::Packet(packet) => packet.bytes().get(..usize::from(self.len)).unwrap_or_default(),
            _ => &[],
        }
    }
}

/// Which half of the memory a packet counts against, so that neither starves the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Packets to send, or sent and not acknowledged.
    Send,
    /// Packets that wait for a service, or for what is missing before them.
    Receive,
}

/// The head and tail of a queue.
#[derive(Clone, Copy)]
pub struct Queue {
    /// The first node.
    pub head: u32,
    /// The last node.
    pub tail: u32,
}

impl Queue {
    /// A queue without nodes.
    pub const EMPTY: Self = Self { head: NIL, tail: NIL };

    /// Whether there are no nodes.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.head == NIL
    }
}

/// All nodes. Memory grows with use.
pub struct Nodes {
    slots: Vec<Node>,
    free: u32,
    kept: [u32; 2],
    /// The most nodes of each side.
    limit: u32,
    /// The most of each side while memory is not short.
    relaxed: u32,
}

impl Nodes {
    /// No nodes yet, and never more than `limit` of each side.
    pub fn new(limit: u32) -> Self {
        let relaxed = limit - (limit / 4 + 1).min(limit);
        Self { slots: Vec::new(), free: NIL, kept: [0; 2], limit, relaxed }
    }

    /// Whether [`add`](Self::add) would succeed.
    #[inline]
    pub fn has_room(&self, side: Side) -> bool {
        self.kept[side as usize] < self.limit
    }

    /// Whether that many could be added.
    #[inline]
    pub fn has_room_for(&self, side: Side, count: u32) -> bool {
        self.kept[side as usize] + count <= self.limit
    }

    /// How many more packets the side has memory for, and for how many in all.
    #[inline]
    pub fn room(&self, side: Side) -> (u32, u32) {
        (self.limit.saturating_sub(self.kept[side as usize]), self.limit)
    }

    /// Whether more than a quarter of the side's memory is left, so that what is not urgent may
    /// have some.
    #[inline]
    pub fn is_relaxed(&self, side: Side) -> bool {
        self.kept[side as usize] <= self.relaxed
    }

    /// How many packets are kept.
    pub fn len(&self) -> usize {
        self.kept.iter().sum::<u32>() as usize
    }

    /// A node with `packet`, in no queue yet. `Err` when the side's memory is used up.
    #[inline]
    pub fn add(&mut self, side: Side, seq: Seq, packet: Packet) -> Result<u32, Packet> {
        if !self.has_room(side) {
            return Err(packet);
        }
        Ok(self.add_anyway(side, seq, packet))
    }

    /// The same, whatever is kept already: for the second half of a packet that is kept.
    #[inline(always)]
    pub fn add_anyway(&mut self, side: Side, seq: Seq, packet: Packet) -> u32 {
        self.kept[side as usize] += 1;
        let len = packet.len() as u16;
        let data = Data::Packet(packet);
        let id = self.free;
        // No place has the number of none.
        let Some(slot) = self.slots.get_mut(id as usize) else {
            return self.grow(Node { data, seq, sent_at: 0, len, marks: 0, side, next: NIL });
        };
        self.free = slot.next;
        // Field by field, so that it is not made elsewhere and copied here. What was there is
        // forgotten, not dropped: it kept nothing, and so no code is made for dropping it.
        let before = core::mem::replace(&mut slot.data, data);
        debug_assert!(matches!(before, Data::Nothing));
        core::mem::forget(before);
        slot.seq = seq;
        slot.sent_at = 0;
        slot.len = len;
        slot.marks = 0;
        slot.side = side;
        slot.next = NIL;
        id
    }

    /// A node with `packet` at the end of `queue`, whatever is kept already.
    #[inline(always)]
    pub fn append(&mut self, queue: &mut Queue, side: Side, seq: Seq, packet: Packet) -> u32 {
        let id = self.add_anyway(side, seq, packet);
        self.push(queue, id);
        id
    }

    #[cold]
    fn grow(&mut self, node: Node) -> u32 {
        self.slots.push(node);
        self.slots.len() as u32 - 1
    }

    /// Frees a node that is in no queue, and gives what it kept.
    #[inline]
    pub fn remove(&mut self, id: u32) -> Data {
        let node = &mut self.slots[id as usize];
        self.kept[node.side as usize] -= 1;
        node.next = self.free;
        self.free = id;
        core::mem::replace(&mut node.data, Data::Nothing)
    }

    /// Frees the first node of `queue`, and gives what it kept, and its length.
    #[inline]
    pub fn take_first(&mut self, queue: &mut Queue) -> Option<(Data, u16)> {
        let id = queue.head;
        let node = self.slots.get_mut(id as usize)?;
        queue.head = node.next;
        if queue.head == NIL {
            queue.tail = NIL;
        }
        self.kept[node.side as usize] -= 1;
        node.next = self.free;
        self.free = id;
        Some((core::mem::replace(&mut node.data, Data::Nothing), node.len))
    }

    /// Frees the first node of `queue`, and drops what it kept.
    #[inline]
    pub fn drop_first(&mut self, queue: &mut Queue) {
        match self.take_first(queue) {
            // The usual case: it was sent, and is acknowledged.
            Some((Data::Held(held), _)) => drop(held),
            Some((Data::Packet(packet), _)) => discard(packet),
            Some((Data::Nothing, _)) | None => {}
        }
    }

    /// The first node of a queue.
    #[inline]
    pub fn first(&self, queue: &Queue) -> Option<&Node> {
        self.slots.get(queue.head as usize)
    }

    /// The node `id`.
    #[inline]
    pub fn get(&self, id: u32) -> &Node {
        &self.slots[id as usize]
    }

    /// The node `id`, to change it.
    #[inline]
    pub fn get_mut(&mut self, id: u32) -> &mut Node {
        &mut self.slots[id as usize]
    }

    /// The node behind `id`, or [`NIL`].
    #[inline]
    pub fn next(&self, id: u32) -> u32 {
        self.slots[id as usize].next
    }

    /// Puts a node that was just added at the end of `queue`.
    #[inline]
    pub fn push(&mut self, queue: &mut Queue, id: u32) {
        if queue.is_empty() {
            queue.head = id;
        } else {
            self.slots[queue.tail as usize].next = id;
        }
        queue.tail = id;
    }

    /// Puts `id` behind `before`, or at the front when that is [`NIL`].
    pub fn insert(&mut self, queue: &mut Queue, before: u32, id: u32) {
        if before == NIL {
            self.slots[id as usize].next = queue.head;
            queue.head = id;
        } else {
            self.slots[id as usize].next = self.slots[before as usize].next;
            self.slots[before as usize].next = id;
        }
        if queue.tail == before {
            queue.tail = id;
        }
    }

    /// Takes the first node out of `queue`, without freeing it.
    #[inline]
    pub fn pop(&mut self, queue: &mut Queue) -> Option<u32> {
        let id = queue.head;
        if id == NIL {
            return None;
        }
        queue.head = self.slots[id as usize].next;
        if queue.head == NIL {
            queue.tail = NIL;
        }
        Some(id)
    }

    /// Takes the node behind `before` out of `queue`, without freeing it.
    pub fn pop_after(&mut self, queue: &mut Queue, before: u32) -> Option<u32> {
        if before == NIL {
            return self.pop(queue);
        }
        let id = self.slots[before as usize].next;
        if id == NIL {
            return None;
        }
        self.slots[before as usize].next = self.slots[id as usize].next;
        if queue.tail == id {
            queue.tail = before;
        }
        Some(id)
    }

    /// Frees all nodes of `queue`.
    pub fn clear(&mut self, queue: &mut Queue) {
        while let Some(id) = self.pop(queue) {
            drop(self.remove(id));
        }
    }
}

/// Out of line: what is dropped on the way is usually a handle.
#[cold]
fn discard(packet: Packet) {
    drop(packet);
}

const _: () = assert!(size_of::<Node>() <= 32);

#[cfg(test)]
mod tests {
    use super::*;
    use waitless::testing::context;

    fn lengths(nodes: &Nodes, queue: &Queue) -> Vec<u16> {
        let mut at = queue.head;
        core::iter::from_fn(|| {
            let id = at;
            (id != NIL).then(|| {
                at = nodes.next(id);
                nodes.get(id).len
            })
        })
        .collect()
    }

    #[test]
    fn nodes_are_linked_limited_and_used_again() {
        let cx = context(8, 1);
        let mut nodes = Nodes::new(3);
        let mut queue = Queue::EMPTY;
        let node = |nodes: &mut Nodes, length: usize| {
            let mut packet = cx.packet().unwrap();
            packet.extend(length).unwrap();
            nodes.add(Side::Send, Seq(0), packet)
        };
        for length in [1, 3] {
            let id = node(&mut nodes, length).unwrap();
            nodes.push(&mut queue, id);
        }
        let id = node(&mut nodes, 2).unwrap();
        let head = queue.head;
        nodes.insert(&mut queue, head, id);
        assert_eq!(lengths(&nodes, &queue), [1, 2, 3]);
        assert!(node(&mut nodes, 4).is_err(), "the limit");
        let second = nodes.pop_after(&mut queue, head).unwrap();
        drop(nodes.remove(second));
        assert_eq!(lengths(&nodes, &queue), [1, 3]);
        let id = node(&mut nodes, 4).unwrap();
        assert_eq!(id, second, "a freed node is used again");
        let tail = queue.tail;
        nodes.insert(&mut queue, tail, id);
        assert_eq!((queue.tail, lengths(&nodes, &queue)), (id, [1, 3, 4].into()));
        nodes.clear(&mut queue);
        assert_eq!((nodes.len(), cx.pool().available()), (0, 8));
    }
}
