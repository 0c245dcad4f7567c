//! Datagrams in fragments.

use super::*;

/// A datagram in fragments of 16 bytes of payload, with the number `number`.
fn pieces(whole: &[u8], number: u8) -> Vec<Vec<u8>> {
    let payload = whole[20..].chunks(16);
    let last = payload.len() - 1;
    let piece = |(index, part): (usize, &[u8])| {
        let mut bytes = [&whole[..20], part].concat();
        let total = bytes.len() as u16;
        bytes[2..4].copy_from_slice(&total.to_be_bytes());
        bytes[5] = number;
        let place = (index * 2) as u16 | if index < last { 0x2000 } else { 0 };
        bytes[6..8].copy_from_slice(&place.to_be_bytes());
        seal(&mut bytes);
        bytes
    };
    payload.enumerate().map(piece).collect()
}

/// A datagram of 48 bytes behind the header.
fn long(from: End, to: End) -> Vec<u8> {
    let mut payload: Vec<u8> = (0..48).collect();
    payload[4..8].copy_from_slice(&[0, 48, 0, 0]);
    transport(from, to, UDP, payload, 6)
}

/// What fragments are together.
#[track_caller]
fn together(pieces: &[Vec<u8>], from: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
    let mut payload = Vec::new();
    for piece in pieces {
        assert!(Checksum::new().add(&piece[..20]).is_valid());
        assert_eq!((address(piece, 12), address(piece, 16)), (from, to));
        assert_eq!(usize::from(word(piece, 6) & 0x1fff) * 8, payload.len());
        payload.extend_from_slice(&piece[20..]);
    }
    ip(from, to, UDP, &payload)
}

#[test]
fn fragments_follow_the_first_one_both_ways() {
    let mut bench = Bench::new(CONFIG);
    let whole = long((A, 5000), (PEER, 53));
    let sent: Vec<_> = pieces(&whole, 1).iter().map(|it| bench.out(it).unwrap()).collect();
    let outside = together(&sent, EXT, PEER);
    assert_eq!(outside[20..], long((EXT, 5000), (PEER, 53))[20..]);
    let answer = long((PEER, 53), (EXT, 5000));
    let came: Vec<_> = pieces(&answer, 2).iter().map(|it| bench.come(it).unwrap()).collect();
    let inside = together(&came, PEER, A);
    assert_eq!(inside[20..], long((PEER, 53), (A, 5000))[20..]);
}

#[test]
fn fragments_before_the_first_one_wait_for_it() {
    let mut bench = Bench::new(CONFIG);
    bench.port_of((A, 5000), (PEER, 53));
    let [first, second, third] = &pieces(&long((PEER, 53), (EXT, 5000)), 3)[..] else { panic!() };
    assert!(bench.come(third).is_none() && bench.come(second).is_none());
    let mut came = std::vec![bench.come(first).unwrap()];
    bench.sweep();
    came.extend(core::iter::from_fn(|| bench.up()).map(|packet| packet.bytes().to_vec()));
    came.sort_by_key(|piece| word(piece, 6) & 0x1fff);
    assert_eq!(together(&came, PEER, A)[20..], long((PEER, 53), (A, 5000))[20..]);
    let [first, second, third] = &pieces(&long((A, 5000), (PEER, 53)), 4)[..] else { panic!() };
    assert!(bench.out(third).is_none() && bench.out(second).is_none());
    let mut sent = std::vec![bench.out(first).unwrap()];
    bench.sweep();
    sent.extend(bench.link.sent.drain(..).map(|packet| packet.bytes().to_vec()));
    sent.sort_by_key(|piece| word(piece, 6) & 0x1fff);
    assert_eq!(together(&sent, EXT, PEER)[20..], long((EXT, 5000), (PEER, 53))[20..]);
    assert_eq!(bench.nat.counters.fragments.get(), 0);
}

#[test]
fn fragments_of_this_host_s_datagrams_are_its_own() {
    let mut bench = Bench::new(CONFIG);
    let all = pieces(&long((PEER, 53), (EXT, 68)), 5);
    for piece in &all {
        assert_eq!(bench.come(piece).as_ref(), Some(piece));
    }
}

#[test]
fn what_waits_in_vain_or_is_too_much_is_dropped() {
    let mut bench = Bench::new(CONFIG);
    for number in 0..20 {
        let all = pieces(&long((PEER, 53), (EXT, 5000)), number);
        assert!(bench.come(&all[1]).is_none());
    }
    assert_eq!(bench.nat.counters.fragments.get(), 4);
    let deadline = Component::<Link>::deadline(&bench.nat);
    assert_eq!(deadline, Instant::ZERO + Duration::from_secs(2));
    bench.run_to(2);
    assert_eq!(bench.nat.counters.fragments.get(), 20);
    assert_eq!(Component::<Link>::deadline(&bench.nat), Instant::NEVER);
}

#[test]
fn fragments_of_what_was_dropped_do_not_pass() {
    let mut bench = Bench::new(CONFIG);
    for piece in pieces(&long((PEER, 53), (EXT, 5000)), 6) {
        assert!(bench.come(&piece).is_none());
    }
    bench.run_to(3);
    assert!(bench.up().is_none());
    // An error in a fragment is not looked at, and neither is a piece of TCP's header.
    let mut error = icmp(PEER, EXT, 3, 3, &[0; 40]);
    error[6] = 0x20;
    seal(&mut error);
    assert!(bench.come(&error).is_none());
    let mut tiny = tcp((A, 5000), (PEER, 80), SYN)[..36].to_vec();
    tiny[3] = 36;
    tiny[6] = 0x20;
    seal(&mut tiny);
    assert!(bench.out(&tiny).is_none());
    assert_eq!(bench.nat.counters.malformed.get(), 2);
}
