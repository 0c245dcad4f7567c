//! How fast the path delivers (section 4.1 of draft-ietf-ccwg-bbr): of each packet is known how
//! much had been delivered when it was sent, so its acknowledgement tells how much was since.
//!
//! The figures are in bytes and microseconds modulo 2^32. What is compared lies a round trip apart.

use crate::seq::Seq;

/// What is noted of a packet when it is sent, beside when that was.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stamp {
    /// What had been delivered: P.delivered.
    delivered: u32,
    /// When that was: P.delivered_time.
    delivered_at: u32,
    /// When the packet before that was sent: P.first_send_time.
    first_sent_at: u32,
    /// What had been lost: P.lost.
    lost: u32,
    /// Bytes under way, with this packet: P.tx_in_flight.
    pub in_flight: u32,
    /// Whether the application had let a gap arise: P.is_app_limited.
    pub limited: bool,
}

/// A packet that was sent, for whoever wants to know what became of it.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// What was noted then.
    pub stamp: Stamp,
    /// When.
    pub at: u32,
    /// The number behind it.
    pub end: Seq,
    /// Its bytes.
    pub size: u32,
    /// Whether it was sent more than once, so that it is open which one is acknowledged.
    pub again: bool,
}

/// What a connection knows of how fast the path delivers.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    /// Bytes delivered so far: C.delivered.
    delivered: u32,
    /// When that last changed: C.delivered_time.
    delivered_at: u32,
    /// When the packet was sent that was last delivered: C.first_send_time.
    first_sent_at: u32,
    /// Bytes taken for lost so far: C.lost.
    lost: u32,
    /// While the application lets gaps arise, what must be delivered until the last one is over:
    /// C.app_limited.
    limited_until: Option<u32>,
    /// What acknowledgements have told since a sample was last taken.
    news: News,
}

/// What acknowledgements have told.
#[derive(Clone, Copy, Debug, Default)]
struct News {
    /// The packet that was sent last, of those delivered.
    newest: Option<(Stamp, Seq)>,
    send_elapsed: u32,
    ack_elapsed: u32,
    acked: u32,
    lost: u32,
    rtt: Option<u32>,
}

/// What is known after acknowledgements: RS.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Bytes in a second, if that can be relied upon: RS.delivery_rate.
    pub rate: Option<u64>,
    /// Bytes delivered since the newest packet was sent: RS.delivered.
    pub delivered: u32,
    /// What had been delivered when that was sent: RS.prior_delivered.
    pub prior_delivered: u32,
    /// The shortest round trip, in microseconds: RS.rtt.
    pub rtt: Option<u32>,
    /// Bytes newly delivered: RS.newly_acked.
    pub acked: u32,
    /// Bytes newly lost: RS.newly_lost.
    pub newly_lost: u32,
    /// Bytes under way when the newest packet was sent: RS.tx_in_flight.
    pub in_flight: u32,
    /// Bytes lost since: RS.lost.
    pub lost: u32,
    /// Whether the application had let a gap arise: RS.is_app_limited.
    pub limited: bool,
}

impl Delivery {
    /// Nothing was sent before `now`.
    pub fn new(now: u32) -> Self {
        Self {
            delivered: 0,
            delivered_at: now,
            first_sent_at: now,
            lost: 0,
            limited_until: None,
            news: News::default(),
        }
    }

    /// Bytes delivered so far.
    pub fn delivered(&self) -> u32 {
        self.delivered
    }

    /// Whether the application lets gaps arise.
    pub fn is_limited(&self) -> bool {
        self.limited_until.is_some()
    }

    /// A packet is sent at `now`; `in_flight` bytes are under way with it, `first` when it is
    /// alone: OnPacketSent.
    pub fn sends(&mut self, now: u32, in_flight: u32, first: bool) -> Stamp {
        if first {
            (self.first_sent_at, self.delivered_at) = (now, now);
        }
        Stamp {
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            lost: self.lost,
            in_flight,
            limited: self.is_limited(),
        }
    }

    /// A packet was delivered: UpdateRateSample.
    pub fn arrived(&mut self, sent: &Sent, now: u32) {
        let Sent { stamp, at, end, size, again } = *sent;
        self.delivered = self.delivered.wrapping_add(size);
        self.delivered_at = now;
        self.news.acked += size;
        if !again {
            let rtt = now.wrapping_sub(at);
            self.news.rtt = Some(self.news.rtt.map_or(rtt, |other| other.min(rtt)));
        }
        let newer = at.wrapping_sub(self.first_sent_at) as i32;
        let newest = match self.news.newest {
            None => true,
            Some((_, last)) => newer > 0 || (newer == 0 && end.after(last)),
        };
        if newest {
            self.news.newest = Some((stamp, end));
            self.news.send_elapsed = at.wrapping_sub(stamp.first_sent_at);
            self.news.ack_elapsed = now.wrapping_sub(stamp.delivered_at);
            self.first_sent_at = at;
        }
    }

    /// A packet is taken for lost. Bytes lost since it was sent.
    pub fn loses(&mut self, sent: &Sent) -> u32 {
        self.lost = self.lost.wrapping_add(sent.size);
        self.news.lost += sent.size;
        self.lost.wrapping_sub(sent.stamp.lost)
    }

    /// The application lets a gap arise while `in_flight` bytes are under way:
    /// MarkConnectionAppLimited.
    pub fn limit(&mut self, in_flight: u32) {
        self.limited_until = Some(self.delivered.wrapping_add(in_flight));
    }

    /// What is known now; `None` when nothing was delivered since the last time. A rate that the
    /// path cannot have is left out; `min_rtt` is the shortest round trip: GenerateRateSample.
    pub fn sample(&mut self, min_rtt: u32) -> Option<Sample> {
        let delivered = self.delivered;
        self.limited_until =
            self.limited_until.filter(|&end| delivered.wrapping_sub(end) as i32 <= 0);
        // What was lost meanwhile waits for the sample that tells of it.
        let (stamp, _) = self.news.newest?;
        let news = core::mem::take(&mut self.news);
        let delivered = self.delivered.wrapping_sub(stamp.delivered);
        let interval = news.send_elapsed.max(news.ack_elapsed);
        // Shorter than a round trip: it was the first transmission that was acknowledged.
        let reliable = interval >= min_rtt && interval > 0;
        Some(Sample {
            rate: reliable.then(|| u64::from(delivered) * 1_000_000 / u64::from(interval.max(1))),
            delivered,
            prior_delivered: stamp.delivered,
            rtt: news.rtt,
            acked: news.acked,
            newly_lost: news.lost,
            in_flight: stamp.in_flight,
            lost: self.lost.wrapping_sub(stamp.lost),
            limited: stamp.limited,
        })
    }
}

#[cfg(test)]
mod tests;
