//! ICMP errors and what they quote.

use super::*;

/// An error of `from` to `to` about a packet, of which it quotes so many bytes.
fn error(from: Ipv4Addr, to: Ipv4Addr, about: &[u8], length: usize) -> Vec<u8> {
    let quoted = &about[..length.min(about.len())];
    icmp(from, to, 3, 4, &[&[0, 0, 5, 0][..], quoted].concat())
}

/// What an error quotes.
fn quoted(bytes: &[u8]) -> &[u8] {
    &bytes[28..]
}

/// An error's checksums, and that of the header that it quotes.
#[track_caller]
fn intact_error(bytes: &[u8]) {
    intact(bytes);
    assert!(Checksum::new().add(&quoted(bytes)[..20]).is_valid(), "the quoted header's");
}

#[test]
fn an_error_reaches_the_host_with_what_it_has_sent() {
    for packet in [udp((A, 5000), (PEER, 53)), tcp((A, 5001), (PEER, 80), SYN), echo(A, PEER, 8, 7)]
    {
        // Another one has these numbers outside.
        let mut bench = Bench::new(CONFIG);
        bench.port_of((B, 5000), (PEER, 53));
        bench.out(&tcp((B, 5001), (PEER, 80), SYN)).unwrap();
        bench.out(&echo(B, PEER, 8, 7)).unwrap();
        let sent = bench.out(&packet).unwrap();
        for length in [28, 29, 1000] {
            let told = bench.come(&error(OTHER, EXT, &sent, length)).unwrap();
            assert_eq!((address(&told, 12), address(&told, 16)), (OTHER, A));
            intact_error(&told);
            let expected = &packet[..length.min(packet.len())];
            assert_eq!(quoted(&told), expected, "to the byte, its own sum included");
            assert_eq!(word(&told, 26), 0x500, "the MTU");
        }
        assert_eq!(bench.nat.counters.errors.get(), 3);
    }
}

#[test]
fn an_error_of_a_host_inside_goes_out_with_what_came_in() {
    let mut bench = Bench::new(CONFIG);
    bench.port_of((B, 5000), (PEER, 53));
    let port = bench.port_of((A, 5000), (PEER, 53));
    let outside = udp((PEER, 53), (EXT, port));
    let came = bench.come(&outside).unwrap();
    // Of the host itself, and of a router inside.
    for from in [A, B] {
        let told = bench.out(&error(from, PEER, &came, 1000)).unwrap();
        assert_eq!((address(&told, 12), address(&told, 16)), (EXT, PEER));
        intact_error(&told);
        assert_eq!(quoted(&told), outside);
    }
}

#[test]
fn an_error_of_this_host_about_what_it_did_not_forward_tells_nothing_of_inside() {
    let mut bench = Bench::new(CONFIG);
    bench.port_of((A, 5000), (PEER, 53));
    let outside = udp((PEER, 53), (EXT, 5000));
    let came = bench.come(&outside).unwrap();
    let told = bench.out(&error(EXT, PEER, &came, 28)).unwrap();
    assert_eq!(quoted(&told), &outside[..28]);
    intact_error(&told);
    // And about a packet to itself, it goes as it is.
    let own = error(EXT, PEER, &udp((PEER, 9), (EXT, 68)), 28);
    assert_eq!(bench.out(&own), Some(own));
}

#[test]
fn an_error_about_a_packet_of_this_host_is_its_own() {
    let mut bench = Bench::new(CONFIG);
    let own = error(OTHER, EXT, &tcp((EXT, 50_000), (PEER, 80), SYN), 28);
    assert_eq!(bench.come(&own), Some(own));
}

#[test]
fn an_error_about_what_is_not_known_or_with_a_wrong_sum_is_dropped() {
    let mut bench = Bench::new(CONFIG);
    let unknown = udp((EXT, 5000), (PEER, 53));
    assert!(bench.come(&error(OTHER, EXT, &unknown, 28)).is_none());
    let foreign = udp((A, 5000), (PEER, 53));
    assert!(bench.come(&error(OTHER, EXT, &foreign, 28)).is_none(), "nobody outside saw that");
    assert!(bench.out(&error(A, PEER, &udp((PEER, 53), (A, 5000)), 28)).is_none());
    let sent = bench.out(&foreign).unwrap();
    let mut wrong = error(OTHER, EXT, &sent, 28);
    wrong[30] ^= 1;
    assert!(bench.come(&wrong).is_none());
    assert_eq!(bench.nat.counters.bad_errors.get(), 4);
    for length in 0..28 {
        assert!(bench.come(&error(OTHER, EXT, &sent, length)).is_none(), "{length}");
    }
    assert_eq!(bench.nat.counters.malformed.get(), 28);
}

#[test]
fn an_error_between_hosts_inside_turns_back() {
    let mut bench = Bench::new(CONFIG);
    assert!(bench.out(&tcp((A, 5000), (EXT, 8080), SYN)).is_none());
    let came = bench.up().unwrap().bytes().to_vec();
    assert!(bench.out(&error(B, EXT, &came, 1000)).is_none());
    let told = bench.up().unwrap().bytes().to_vec();
    assert_eq!((address(&told, 12), address(&told, 16)), (EXT, A));
    assert_eq!(quoted(&told), tcp((A, 5000), (EXT, 8080), SYN));
    intact_error(&told);
}
