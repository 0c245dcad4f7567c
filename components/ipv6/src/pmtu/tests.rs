use super::*;

fn host(number: u128) -> Ipv6Addr {
    Ipv6Addr::from_bits(0x2001_0db8 << 96 | number)
}

#[test]
fn packets_get_shorter_for_a_while_and_never_longer() {
    let mut paths = PathMtus::default();
    let start = Instant::ZERO;
    assert_eq!(paths.find(host(1), start), None);
    assert!(paths.learn(host(1), 1400, start));
    assert!(!paths.learn(host(1), 1450, start) && !paths.learn(host(1), 1279, start));
    assert_eq!(paths.find(host(1), start), Some(1400));
    assert!(paths.learn(host(1), 1280, start));
    assert_eq!((paths.find(host(1), start), paths.find(host(2), start)), (Some(1280), None));
    assert_eq!(paths.find(host(1), start + LIFETIME), None);
    assert!(paths.learn(host(1), 1450, start + LIFETIME));
}

#[test]
fn only_so_many_are_remembered_and_the_oldest_gives_way() {
    let mut paths = PathMtus::default();
    for number in 0..200 {
        let now = Instant::ZERO + Duration::from_secs(number);
        assert!(paths.learn(host(number.into()), 1300, now));
    }
    let now = Instant::ZERO + Duration::from_secs(200);
    let known = (0..200).filter(|number| paths.find(host(*number), now).is_some());
    assert!(known.eq(200 - DESTINATIONS as u128..200));
}
