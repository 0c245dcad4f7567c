//! TIME-WAIT (RFC 9293 section 3.3.2): ended connections, remembered for 2 MSL in a fraction of
//! the memory that an open one takes.

use crate::queue::NIL;
use crate::seq::Seq;
use crate::table::Tuple;
use crate::wire::{Flags, Segment, Stamps};
use alloc::vec::Vec;
use waitless::Instant;

/// What is remembered of a connection.
#[derive(Clone, Copy)]
pub struct Wait {
    /// Who talked to whom.
    pub tuple: Tuple,
    /// The next byte this side would send.
    pub next: Seq,
    /// The next byte expected.
    pub expected: Seq,
    /// The other side's clock, where timestamps were in use.
    pub stamp_recent: Option<u32>,
    /// What is added to this side's clock.
    pub stamp_offset: u32,
    /// When it is forgotten.
    pub expires: Instant,
    /// When it was last answered, in milliseconds.
    pub answered_at: u32,
    /// Neighbours in the order of expiry.
    before: u32,
    after: u32,
}

/// What is to be done with a segment for a remembered connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nothing.
    Drop,
    /// Acknowledge again what was acknowledged.
    Answer,
    /// The same, and remember it for the full time again.
    Restart,
    /// Forget it: a new connection begins.
    Reopen,
}

impl Wait {
    /// Remembers a connection until `expires`.
    pub fn new(tuple: Tuple, next: Seq, expected: Seq, expires: Instant) -> Self {
        Self {
            tuple,
            next,
            expected,
            stamp_recent: None,
            stamp_offset: 0,
            expires,
            answered_at: 0,
            before: NIL,
            after: NIL,
        }
    }

    /// Judges a segment. `stamps` is whether a new connection may use timestamps.
    pub fn judge(&self, segment: &Segment, stamps: bool) -> Verdict {
        //= RFC 1337 3: a RST does not end TIME-WAIT
        if segment.flags.any(Flags::RST) {
            return Verdict::Drop;
        }
        if segment.flags.any(Flags::SYN) && !segment.flags.any(Flags::ACK) {
            //= RFC 6191 2, RFC 9293 3.6.1 SHLD-4: a SYN reopens when it is newer
            //= RFC 6191 2: deviation: another one is answered as RFC 9293 has it, not dropped
            return if self.is_newer(segment, stamps) { Verdict::Reopen } else { Verdict::Answer };
        }
        let old = segment.seq.before(self.expected);
        if segment.flags.any(Flags::FIN) && old {
            //= RFC 9293 3.10.7.4: the FIN again: acknowledge it, restart the 2 MSL timeout
            return Verdict::Restart;
        }
        if segment.len() > 0 || segment.flags.any(Flags::SYN) || segment.seq != self.expected {
            return Verdict::Answer;
        }
        Verdict::Drop
    }

    /// Whether the SYN can only be one that was sent after the connection had ended.
    fn is_newer(&self, segment: &Segment, stamps: bool) -> bool {
        let behind = segment.seq.after(self.expected);
        match (self.stamp_recent, segment.options.stamps.filter(|_| stamps)) {
            (Some(recent), Some(stamps)) => {
                let ahead = stamps.value.wrapping_sub(recent) as i32;
                ahead > 0 || ahead == 0 && behind
            }
            //= RFC 6191 2: what had no timestamps has sent no SYN with them
            (None, Some(_)) => true,
            (_, None) => behind,
        }
    }

    /// The acknowledgement to answer with; `millis` is the clock.
    pub fn answer(&self, millis: u32) -> Segment {
        let mut segment = Segment {
            source: self.tuple.local_port,
            destination: self.tuple.remote_port,
            seq: self.next,
            ack: self.expected,
            flags: Flags::ACK,
            ..Segment::default()
        };
        let value = millis.wrapping_add(self.stamp_offset);
        segment.options.stamps = self.stamp_recent.map(|echo| Stamps { value, echo });
        segment
    }
}

/// All remembered connections, in the order of their expiry.
pub struct Waits {
    slots: Vec<Wait>,
    free: u32,
    first: u32,
    last: u32,
    used: u32,
}

impl Waits {
    /// None yet.
    pub fn new() -> Self {
        Self { slots: Vec::new(), free: NIL, first: NIL, last: NIL, used: 0 }
    }

    /// Remembers one more, which must not expire before any other.
    pub fn add(&mut self, wait: Wait) -> u32 {
        self.used += 1;
        let id = self.free;
        let id = if id == NIL {
            self.slots.push(wait);
            self.slots.len() as u32 - 1
        } else {
            self.free = self.slots[id as usize].after;
            self.slots[id as usize] = wait;
            id
        };
        self.append(id);
        id
    }

    /// Forgets one.
    pub fn remove(&mut self, id: u32) {
        self.unlink(id);
        self.slots[id as usize].after = self.free;
        self.free = id;
        self.used -= 1;
    }

    /// Remembers one until `expires`, which must not be before any other's.
    pub fn restart(&mut self, id: u32, expires: Instant) {
        self.unlink(id);
        self.slots[id as usize].expires = expires;
        self.append(id);
    }

    /// The one that expires first.
    pub fn first(&self) -> Option<u32> {
        (self.first != NIL).then_some(self.first)
    }

    /// When the first one expires.
    #[inline]
    pub fn deadline(&self) -> Instant {
        match self.first {
            NIL => Instant::NEVER,
            first => self.slots[first as usize].expires,
        }
    }

    /// How many there are.
    pub fn len(&self) -> u32 {
        self.used
    }

    /// The one at `id`.
    pub fn get(&self, id: u32) -> &Wait {
        &self.slots[id as usize]
    }

    /// The one at `id`, to change it.
    pub fn get_mut(&mut self, id: u32) -> &mut Wait {
        &mut self.slots[id as usize]
    }

    fn append(&mut self, id: u32) {
        let last = core::mem::replace(&mut self.last, id);
        self.slots[id as usize].before = last;
        self.slots[id as usize].after = NIL;
        match last {
            NIL => self.first = id,
            last => self.slots[last as usize].after = id,
        }
    }

    fn unlink(&mut self, id: u32) {
        let Wait { before, after, .. } = self.slots[id as usize];
        match before {
            NIL => self.first = after,
            before => self.slots[before as usize].after = after,
        }
        match after {
            NIL => self.last = before,
            after => self.slots[after as usize].before = before,
        }
    }
}
