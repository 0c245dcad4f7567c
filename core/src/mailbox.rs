//! Where a component leaves things for a neighbour to collect.

use crate::{BATCH, Packet};

/// A queue of at most one batch. Who finds it full does not pull, so back-pressure is free.
pub type Mailbox<T = Packet, const N: usize = BATCH> = heapless::Deque<T, N>;
