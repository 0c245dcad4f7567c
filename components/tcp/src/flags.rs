//! What is noted of a connection in bits, and what handling something did to it.

/// A set of [`flag`]s.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FlagSet(pub(crate) u64);

impl FlagSet {
    /// Whether one of `flags` is set.
    #[inline]
    pub fn has(self, flags: u64) -> bool {
        self.0 & flags != 0
    }

    /// Sets all of `flags`.
    #[inline]
    pub fn set(&mut self, flags: u64) {
        self.0 |= flags;
    }

    /// Clears all of `flags`.
    #[inline]
    pub fn clear(&mut self, flags: u64) {
        self.0 &= !flags;
    }
}

/// The flags of a connection.
pub mod flag {
    /// It is in the output list.
    pub const IN_OUTPUT: u64 = 1;
    /// It is in its service's list of news.
    pub const IN_NEWS: u64 = 1 << 1;
    /// Its service gave it a tag.
    pub const TAGGED: u64 = 1 << 2;
    /// Its service gave it up.
    pub const ORPHAN: u64 = 1 << 3;
    /// It was opened by the other side.
    pub const PASSIVE: u64 = 1 << 4;
    /// Both sides use timestamps.
    pub const STAMPS: u64 = 1 << 5;
    /// The other side understands selective acknowledgements.
    pub const SACK: u64 = 1 << 6;
    /// The service has closed: a FIN follows what is queued.
    pub const FIN_QUEUED: u64 = 1 << 7;
    /// The other side's FIN has arrived, and everything before it.
    pub const FIN_RECEIVED: u64 = 1 << 8;
    /// Something that must be acknowledged has arrived.
    pub const ACK_PENDING: u64 = 1 << 9;
    /// It must be acknowledged at once.
    pub const ACK_NOW: u64 = 1 << 10;
    /// A SYN or SYN-ACK is to be sent.
    pub const SYN_DUE: u64 = 1 << 11;
    /// A RST is to be sent, and nothing else any more.
    pub const RESET_DUE: u64 = 1 << 12;
    /// The FIN, which went out alone, is to be sent again.
    pub const RESEND_FIN: u64 = 1 << 13;
    /// A window probe is to be sent.
    pub const PROBE_DUE: u64 = 1 << 14;
    /// A keep-alive probe is to be sent.
    pub const KEEP_ALIVE_DUE: u64 = 1 << 15;
    /// The retransmission timer runs as the persist timer.
    pub const PERSIST: u64 = 1 << 16;
    /// Something was lost, overtaken or probed for, or may have been: `recovery` says what.
    pub const TROUBLE: u64 = 1 << 17;
    /// Acknowledgements have told something that loss recovery must think about.
    pub const DETECT: u64 = 1 << 18;
    /// One of these acknowledged more than before.
    pub const ADVANCED: u64 = 1 << 19;
    /// The congestion window keeps from sending more.
    pub const CROWDED: u64 = 1 << 20;
    /// The SYN or SYN-ACK was sent more than once.
    pub const SYN_LOST: u64 = 1 << 21;
    /// The service found too little room to send, and wants to hear of more.
    pub const WANTS_ROOM: u64 = 1 << 22;
    /// It found none because packets had run out.
    pub const STARVED: u64 = 1 << 23;
    /// Its segments are shorter than both ends would take, and longer ones are searched for. Below
    /// bit 31 as [`PACED`] is.
    pub const SHORT: u64 = 1 << 24;
    /// BBR models its path, and wants to know of everything that is acknowledged. Below bit 31
    /// as [`PACED`] is.
    pub const MODELLED: u64 = 1 << 25;
    /// What is to be sent could not be, for want of a packet; try again soon.
    pub const RETRY: u64 = 1 << 26;
    /// It is in the connection table.
    pub const HASHED: u64 = 1 << 27;
    /// It counts as half open.
    pub const HALF_OPEN: u64 = 1 << 28;
    /// What it sends leaves at a rate. Below bit 31, as it is looked at with others for each
    /// segment, and such a mask fits into an instruction.
    pub const PACED: u64 = 1 << 29;
    /// A tail loss probe is to be sent.
    pub const TAIL_DUE: u64 = 1 << 30;
    /// What arrived twice is to be reported.
    pub const TWICE: u64 = 1 << 31;
    /// An octet beyond `next` was sent, to probe the window.
    pub const PROBED: u64 = 1 << 32;
    /// Short segments are held back while data is unacknowledged.
    pub const NAGLE: u64 = 1 << 33;
    /// Both sides want congestion to be marked.
    pub const ECN: u64 = 1 << 34;
    /// A mark has arrived that the sender has not heard of yet.
    pub const MARKED: u64 = 1 << 35;
    /// The next new segment says that the window was reduced.
    pub const REDUCED: u64 = 1 << 36;
    /// No device is on the way to the other side, so nobody cuts long packets.
    pub const LOCAL: u64 = 1 << 37;
    /// The other side's SYN offered a window scale.
    pub const SCALE: u64 = 1 << 38;
    /// A router said that the other side can't be reached now.
    pub const SOFT_ERROR: u64 = 1 << 39;
    /// A segment longer than is known to pass is under way.
    pub const SOUNDING: u64 = 1 << 40;
}

/// What handling something did to a connection, for the instance to follow up.
pub mod effect {
    /// Its service is to hear of it.
    pub const NEWS: u8 = 1;
    /// It has something to send.
    pub const OUTPUT: u8 = 1 << 1;
    /// It has ended; `phase` says how.
    pub const ENDED: u8 = 1 << 2;
    /// It has ended and is to be remembered for a while.
    pub const TIME_WAIT: u8 = 1 << 3;
    /// It has just opened.
    pub const OPENED: u8 = 1 << 4;
    /// It must be visited again at `retry_at` although nothing happens.
    pub const RETRY: u8 = 1 << 5;
}
