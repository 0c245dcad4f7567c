//! Proportional rate reduction (RFC 9937, which replaces RFC 6937): in recovery the window falls
//! to its new size evenly, in proportion to what the other side says it got.

/// One recovery's account. In bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prr {
    /// What was under way when recovery began.
    flight: u32,
    /// What was delivered since. Outside of recovery, what is known to have been.
    delivered: u32,
    /// What was sent since.
    sent: u32,
}

impl Prr {
    /// Recovery begins with `flight` bytes under way.
    //= RFC 9937 6: RecoverFS, prr_delivered = prr_out = 0
    pub fn new(flight: u32) -> Self {
        Self { flight: flight.max(1), delivered: 0, sent: 0 }
    }

    /// Outside of recovery: acknowledgements have told of `count` bytes that were delivered. If
    /// recovery begins, that was before it.
    #[inline]
    pub fn knows(&mut self, count: u32) {
        self.delivered = count;
    }

    /// What was last said to be known.
    pub fn known(&self) -> u32 {
        self.delivered
    }

    /// `count` bytes were sent.
    #[inline]
    pub fn sends(&mut self, count: u32) {
        self.sent = self.sent.saturating_add(count);
    }

    /// How many bytes may be sent now that `count` more were delivered and `pipe` are under way.
    /// `safe` when the acknowledgement moved on and told of no further loss.
    pub fn allowed(&mut self, count: u32, pipe: u32, threshold: u32, mss: u32, safe: bool) -> u32 {
        self.delivered = self.delivered.saturating_add(count);
        let allowed = if pipe > threshold {
            //= RFC 9937 6: in proportion: ceil(prr_delivered * ssthresh / RecoverFS) - prr_out
            let share = u64::from(self.delivered) * u64::from(threshold);
            let share = share.div_ceil(u64::from(self.flight)).min(u64::from(u32::MAX)) as u32;
            share.saturating_sub(self.sent)
        } else {
            //= RFC 9937 6: below the target: as in slow start if that is safe, otherwise one out
            // for each one that arrived
            let more = self.delivered.saturating_sub(self.sent).max(count);
            let more = if safe { more.saturating_add(mss) } else { more };
            more.min(threshold - pipe)
        };
        //= RFC 9937 6: the first retransmission is sent in any case
        if self.sent == 0 { allowed.max(mss) } else { allowed }
    }
}

#[cfg(test)]
mod tests;
