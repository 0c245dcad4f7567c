//! The groups that the host listens to, and how routers hear of them: the host's part of MLDv2
//! (RFC 3810), and of MLDv1 (RFC 2710) where routers speak that.
//!
//! These are the groups in which neighbours ask for the host's addresses, and where it is a router
//! that of routers. Every source is
//! welcome, so each record says "all but none".

use crate::message::Query;
use core::net::Ipv6Addr;
use heapless::Vec;
use waitless::network::v6::ADDRESSES;
use waitless::{Duration, Instant, Random};

/// Groups at most: one for each address, some of which may have just been left, and that of
/// routers.
pub(crate) const GROUPS_MAX: usize = ADDRESSES + 2;

/// Every node on the link.
pub(crate) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Kinds of records (RFC 3810 section 5.2.12).
const IS_EXCLUDE: u8 = 2;
const TO_INCLUDE: u8 = 3;
const TO_EXCLUDE: u8 = 4;

/// How often a change is reported, and how far apart (RFC 3810 sections 9.1 and 9.11).
const ROBUSTNESS: u8 = 2;
const REPEAT: Duration = Duration::from_secs(1);

/// For how long after a question of MLDv1 nothing else is understood on the link (RFC 3810 section
/// 9.12): two intervals between questions and the longest wait for an answer, as they are unless
/// set otherwise.
const OLD: Duration = Duration::from_secs(2 * 125 + 10);

/// The groups.
pub(crate) struct Groups {
    list: Vec<Group, GROUPS_MAX>,
    /// When the next change is reported.
    changes_at: Instant,
    /// When to answer a question, and of which group; unspecified where of all.
    answer_at: Instant,
    asked: Ipv6Addr,
    /// Until when only MLDv1 is understood by those who ask.
    old_until: Instant,
    /// The next group of which MLDv1 is to be told.
    turn: usize,
}

struct Group {
    group: Ipv6Addr,
    listened: bool,
    /// How often that is still to be reported.
    reports: u8,
}

/// What is to be reported.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::large_enum_variant, reason = "it is written into a packet at once")]
pub(crate) enum Report {
    /// MLDv2's records.
    New(Vec<(u8, Ipv6Addr), GROUPS_MAX>),
    /// MLDv1: one group that is listened to.
    Old(Ipv6Addr),
    /// MLDv1: one that was left.
    Done(Ipv6Addr),
}

impl Groups {
    pub fn new() -> Self {
        Self {
            list: Vec::new(),
            changes_at: Instant::NEVER,
            answer_at: Instant::NEVER,
            asked: Ipv6Addr::UNSPECIFIED,
            old_until: Instant::ZERO,
            turn: 0,
        }
    }

    /// Whether the host listens to `group`.
    #[inline]
    pub fn has(&self, group: Ipv6Addr) -> bool {
        group == ALL_NODES || self.list.iter().any(|it| it.group == group && it.listened)
    }

    /// Listens to these groups and to no others.
    pub fn set(&mut self, wanted: impl Iterator<Item = Ipv6Addr> + Clone, now: Instant) {
        for it in &mut self.list {
            let listened = wanted.clone().any(|group| group == it.group);
            if listened != it.listened {
                (it.listened, it.reports) = (listened, ROBUSTNESS);
                self.changes_at = now;
            }
        }
        for group in wanted {
            if self.has(group) {
                continue;
            }
            if self.list.is_full() {
                self.list.retain(|it| it.listened);
            }
            let fresh = Group { group, listened: true, reports: ROBUSTNESS };
            if self.list.push(fresh).is_ok() {
                self.changes_at = now;
            }
        }
    }

    /// Routers know nothing: the link came up, or there was no address yet to tell them from.
    pub fn restart(&mut self, now: Instant) {
        self.list.retain(|it| it.listened);
        for it in &mut self.list {
            it.reports = ROBUSTNESS;
            self.changes_at = now;
        }
    }

    /// A router asks. It is answered at a random time, so that not all do at once.
    //= RFC 3810 6.2: two questions have one answer
    pub fn asked(&mut self, query: &Query, now: Instant, random: &mut Random) {
        let millis = u64::from(query.delay).max(1);
        let at = now + Duration::from_millis(random.below(millis));
        if query.old {
            self.old_until = now + OLD;
        }
        if self.answer_at != Instant::NEVER {
            // Two questions, one answer: about everything.
            self.asked =
                if self.asked == query.group { query.group } else { Ipv6Addr::UNSPECIFIED };
            self.answer_at = self.answer_at.min(at);
            return;
        }
        (self.answer_at, self.asked, self.turn) = (at, query.group, 0);
    }

    /// The next report at `now`.
    pub fn due(&mut self, now: Instant, random: &mut Random) -> Option<Report> {
        let old = now < self.old_until;
        if now >= self.changes_at {
            return if old { self.old_change(now, random) } else { self.changes(now, random) };
        }
        if now < self.answer_at {
            return None;
        }
        let asked = self.asked;
        let concerned = |it: &&Group| it.listened && (asked.is_unspecified() || asked == it.group);
        if old {
            let group = self.list.iter().filter(concerned).nth(self.turn).map(|it| it.group);
            self.turn += 1;
            if group.is_none() {
                self.answer_at = Instant::NEVER;
            }
            return group.map(Report::Old);
        }
        self.answer_at = Instant::NEVER;
        //= RFC 3810 6.3: the groups in question
        let records: Vec<_, GROUPS_MAX> =
            self.list.iter().filter(concerned).map(|it| (IS_EXCLUDE, it.group)).collect();
        (!records.is_empty()).then_some(Report::New(records))
    }

    /// The next change, for routers that speak MLDv1: one group at a time. Of those to be reported
    /// again, each has its turn before.
    //= RFC 3810 8.2.1: behind an old router its language is spoken
    fn old_change(&mut self, now: Instant, random: &mut Random) -> Option<Report> {
        let most = self.list.iter().map(|it| it.reports).max().unwrap_or(0).max(1);
        let report = self.list.iter_mut().find(|it| it.reports == most).map(|it| {
            if it.listened {
                it.reports -= 1;
                return Report::Old(it.group);
            }
            // RFC 2710 section 4: that it was left is said once.
            it.reports = 0;
            Report::Done(it.group)
        });
        self.list.retain(|it| it.listened || it.reports > 0);
        if self.list.iter().all(|it| it.reports < most) {
            self.rest(now, random);
        }
        report
    }

    fn changes(&mut self, now: Instant, random: &mut Random) -> Option<Report> {
        let mut records = Vec::new();
        for it in self.list.iter_mut().filter(|it| it.reports > 0) {
            it.reports -= 1;
            //= RFC 3810 6.1: what has changed is told, and again within a second
            let kind = if it.listened { TO_EXCLUDE } else { TO_INCLUDE };
            // There is room for each.
            let _ = records.push((kind, it.group));
        }
        self.list.retain(|it| it.listened || it.reports > 0);
        self.rest(now, random);
        (!records.is_empty()).then_some(Report::New(records))
    }

    /// Waits until changes are to be reported again, if any are.
    fn rest(&mut self, now: Instant, random: &mut Random) {
        let again = self.list.iter().any(|it| it.reports > 0);
        let later = now + Duration::from_nanos(random.below(REPEAT.as_nanos()));
        self.changes_at = if again { later } else { Instant::NEVER };
    }

    /// When [`due`](Self::due) next has something.
    pub fn deadline(&self) -> Instant {
        self.changes_at.min(self.answer_at)
    }
}

#[cfg(test)]
mod tests;
