use super::*;
use crate::testing;
use core::net::Ipv4Addr;

const FRONT: usize = 128;
const TIMEOUT: Duration = Duration::from_secs(30);

/// A piece of a datagram that says what its place is: byte `n` of the payload is `n`.
struct Sent {
    host: u8,
    number: u32,
    offset: usize,
    length: usize,
    more: bool,
    ecn: u8,
}

const SENT: Sent = Sent { host: 1, number: 7, offset: 0, length: 16, more: true, ecn: 0 };

struct Bench {
    fragments: Fragments<u8>,
    packet: Packet,
}

impl Bench {
    fn new(limit: usize) -> Self {
        let packet = testing::context(64, 1).packet().unwrap();
        Self { fragments: Fragments::new(limit, TIMEOUT, FRONT), packet }
    }

    fn add(&mut self, sent: Sent, now: u64) -> (Outcome<u8>, u64) {
        let payload: Vec<u8> = (sent.offset..sent.offset + sent.length).map(|n| n as u8).collect();
        let piece = Piece {
            key: Key {
                source: Ipv4Addr::new(10, 0, 0, sent.host).into(),
                destination: Ipv4Addr::new(10, 0, 0, 99).into(),
                protocol: 17,
                identification: sent.number,
            },
            offset: sent.offset,
            more: sent.more,
            headers: b"the first headers",
            payload: &payload,
            ecn: sent.ecn,
            info: Info::default(),
            tag: 42,
        };
        self.fragments.add(&piece, &self.packet, at(now))
    }

    fn complete(&mut self, sent: Sent) -> Assembled<u8> {
        match self.add(sent, 0).0 {
            Outcome::Complete(whole) => whole,
            Outcome::Kept => panic!("kept"),
            Outcome::Dropped(why) => panic!("{why:?}"),
        }
    }

    fn dropped(&mut self, sent: Sent) -> Option<Reason> {
        match self.add(sent, 0).0 {
            Outcome::Dropped(why) => Some(why),
            _ => None,
        }
    }
}

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

#[test]
fn pieces_in_any_order_make_the_whole_behind_its_headers() {
    let mut bench = Bench::new(4);
    let last = || Sent { offset: 32, length: 3, more: false, ..SENT };
    assert!(matches!(bench.add(last(), 0).0, Outcome::Kept));
    assert!(matches!(bench.add(Sent { offset: 16, ..SENT }, 0).0, Outcome::Kept));
    assert!(matches!(bench.add(last(), 0).0, Outcome::Kept), "a repetition");
    let mut whole = bench.complete(SENT);
    assert_eq!(whole.packet.bytes(), (0..35).collect::<Vec<u8>>());
    assert_eq!((whole.tag, whole.congestion), (42, false));
    whole.headers_mut()[0] = b'T';
    whole.shorten_headers(8);
    let packet = whole.into_packet().unwrap();
    assert_eq!(&packet.bytes()[..9], b"The first");
    assert_eq!(packet.bytes()[9..], (0..35).collect::<Vec<u8>>());
    assert_eq!(bench.fragments.under_way(), 0);
}

#[test]
fn contradictions_drop_the_datagram() {
    for second in [
        Sent { offset: 8, ..SENT },
        Sent { offset: 0, length: 8, more: false, ..SENT },
        Sent { offset: 16, length: 1984, ..SENT },
    ] {
        let mut bench = Bench::new(4);
        assert_eq!(bench.dropped(SENT), None);
        assert!(bench.dropped(second).is_some());
        assert_eq!(bench.fragments.under_way(), 0);
    }
    let mut bench = Bench::new(4);
    assert_eq!(bench.dropped(Sent { offset: 32, length: 4, more: false, ..SENT }), None);
    let longer = Sent { offset: 40, length: 4, more: false, ..SENT };
    assert_eq!(bench.dropped(longer), Some(Reason::Bad));
}

#[test]
fn congestion_is_of_the_whole_and_has_no_place_beside_a_sender_that_knows_none() {
    let last = |ecn| Sent { offset: 16, more: false, ecn, ..SENT };
    let mut bench = Bench::new(4);
    assert_eq!(bench.dropped(Sent { ecn: 2, ..SENT }), None);
    assert!(bench.complete(last(CONGESTION)).congestion);
    assert_eq!(bench.dropped(SENT), None);
    assert_eq!(bench.dropped(last(CONGESTION)), Some(Reason::Bad));
}

#[test]
fn a_source_has_its_share_and_the_oldest_gives_way() {
    let mut bench = Bench::new(8);
    for number in 0..3 {
        let (_, evicted) = bench.add(Sent { number, ..SENT }, u64::from(number));
        assert_eq!(evicted, u64::from(number == 2), "two of eight are one source's share");
    }
    for host in 2..=7 {
        assert_eq!(bench.add(Sent { host, ..SENT }, 5).1, 0);
    }
    assert_eq!(bench.add(Sent { host: 8, ..SENT }, 5).1, 1, "all places are taken");
    assert_eq!(bench.fragments.under_way(), 8);
    let mut none = Bench::new(0);
    assert_eq!(none.dropped(SENT), Some(Reason::Full));
}

#[test]
fn what_comes_late_is_given_up_with_its_first_fragment() {
    let mut bench = Bench::new(4);
    bench.add(SENT, 0);
    bench.add(Sent { host: 2, offset: 16, ..SENT }, 1);
    assert!(bench.fragments.expire(at(29)).is_none());
    assert_eq!(bench.fragments.deadline(), at(30));
    let (key, first) = bench.fragments.expire(at(40)).unwrap().unwrap();
    assert_eq!((key.identification, first.packet.len()), (7, 16));
    assert!(bench.fragments.expire(at(40)).unwrap().is_none(), "its first one never came");
    assert!(bench.fragments.expire(at(40)).is_none());
    assert_eq!(bench.fragments.deadline(), Instant::NEVER);
}

#[test]
fn too_many_pieces_are_no_datagram() {
    let mut bench = Bench::new(4);
    for n in 0..usize::from(FRAGMENTS_MAX) {
        assert_eq!(bench.dropped(Sent { offset: 8 * n, length: 8, ..SENT }), None);
    }
    let last = Sent { offset: 8 * usize::from(FRAGMENTS_MAX), length: 8, ..SENT };
    assert_eq!(bench.dropped(last), Some(Reason::TooLong));
    bench.add(SENT, 0);
    bench.fragments.forget(&Key {
        source: Ipv4Addr::new(10, 0, 0, 1).into(),
        destination: Ipv4Addr::new(10, 0, 0, 99).into(),
        protocol: 17,
        identification: 7,
    });
    assert_eq!(bench.fragments.under_way(), 0);
}
