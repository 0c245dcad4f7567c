//! The witness, the wire and the command line by themselves.

use crate::options::{Command, Options};
use crate::wire::Wire;
use crate::witness::Witness;
use std::net::Ipv4Addr;
use waitless::{Duration, Instant};

fn options(words: &[&str]) -> Options {
    match Options::parse(words.iter().map(|word| (*word).to_owned())) {
        Ok(Command::Run(options)) => options,
        Ok(Command::Help) => panic!("help"),
        Err(why) => panic!("{why}"),
    }
}

#[test]
fn a_name_that_is_not_known_is_told_from_a_value_that_does_not_fit() {
    let said = |words: &[&str]| {
        Options::parse(words.iter().map(|word| (*word).to_owned())).err().unwrap_or_default()
    };
    assert!(said(&["--ports", "80/tcp=8080"]).contains("no option `--ports`"));
    assert!(said(&["8080"]).contains("no option `8080`"));
    assert!(said(&["--loss", "much"]).contains("`much` does not fit `--loss`"));
    assert!(said(&["--loss"]).contains("`--loss` needs a value"));
}

#[test]
fn the_command_line_says_how_the_wire_is_and_can_be_said_again() {
    let words = "--seeds 7 --loss=2% --reorder --delay 40ms±10 --partition 5s..8s --post /e=9";
    let words: Vec<&str> = words.split(' ').collect();
    let said = options(&words);
    assert_eq!((said.loss, said.reorder, said.seeds()), (20, 50, 1..8));
    assert_eq!((said.delay, said.jitter), (Duration::from_millis(40), Duration::from_millis(10)));
    assert_eq!(said.partition, Some((Duration::from_secs(5), Duration::from_secs(8))));
    assert_eq!((said.posts, said.paths.len()), (vec![("/e".to_owned(), 9)], 0));
    let again = options(&words).again("hello", 5);
    assert!(
        again.ends_with(
            "sim hello --seed 5 --loss '2%' --reorder '5%' --delay '40ms±10' \
        --partition '5s..8s' --post '/e=9'"
        ),
        "{again}"
    );
    for wrong in ["--loss=101%", "--delay=fast", "--hosts=1", "--path=x", "--what=1", "--loss"] {
        assert!(Options::parse([wrong.to_owned()].into_iter()).is_err(), "{wrong}");
    }
}

/// A frame of a host to another one, without checksums.
fn segment(
    way: u8,
    sequence: u32,
    acknowledgement: u32,
    flags: u8,
    window: u16,
    payload: &[u8],
) -> Vec<u8> {
    let (from, to) = if way == 1 { (1, 2) } else { (2, 1) };
    let mut frame = vec![2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from, 8, 0, 0x45, 0];
    frame.extend((40 + payload.len() as u16).to_be_bytes());
    frame.extend([0, 0, 0, 0, 64, 6, 0, 0]);
    frame.extend(Ipv4Addr::new(10, 0, 0, from).octets());
    frame.extend(Ipv4Addr::new(10, 0, 0, to).octets());
    let ports: [u16; 2] = if way == 1 { [1000, 80] } else { [80, 1000] };
    ports.iter().for_each(|port| frame.extend(port.to_be_bytes()));
    frame.extend(sequence.to_be_bytes());
    frame.extend(acknowledgement.to_be_bytes());
    frame.extend([0x50, flags]);
    frame.extend(window.to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// A connection on which two bytes were sent and acknowledged.
fn opened() -> Witness {
    let mut witness = Witness::default();
    for frame in [
        segment(1, 100, 0, 2, 50, b""),
        segment(2, 500, 101, 18, 10, b""),
        segment(1, 101, 501, 16, 50, b""),
        segment(1, 101, 501, 24, 50, b"ab"),
        segment(2, 501, 103, 16, 8, b""),
    ] {
        witness.saw(&frame).expect("all is well");
    }
    witness
}

#[test]
fn what_tcp_allows_is_no_fault() {
    let mut witness = opened();
    for frame in [
        segment(1, 101, 501, 24, 50, b"abcd"),
        segment(1, 105, 501, 17, 50, b""),
        segment(2, 501, 106, 16, 5, b""),
        segment(1, 105, 501, 17, 50, b""),
        // A new connection on the same ports.
        segment(1, 9_000, 0, 2, 50, b""),
        segment(2, 7_000, 9_001, 18, 10, b""),
        segment(1, 9_001, 7_001, 24, 50, b"xyz"),
    ] {
        witness.saw(&frame).expect("all is well");
    }
}

#[test]
fn what_tcp_forbids_is_seen() {
    for (frame, part) in [
        (segment(1, 102, 501, 24, 50, b"c"), "changes"),
        (segment(1, 110, 501, 24, 50, b"c"), "nothing before"),
        (segment(1, 103, 501, 24, 50, b"123456789012"), "the window ends"),
        (segment(2, 501, 104, 16, 8, b""), "acknowledges 4 of 3"),
        (segment(2, 501, 102, 16, 9, b""), "acknowledges 2 after 3"),
        (segment(2, 501, 103, 16, 7, b""), "its window ends"),
    ] {
        let what = opened().saw(&frame).expect_err(part);
        assert!(what.contains(part), "{what}");
    }
    let mut witness = opened();
    witness.saw(&segment(1, 103, 501, 17, 50, b"")).expect("an end");
    let what = witness.saw(&segment(1, 103, 501, 24, 50, b"c")).expect_err("it had ended");
    assert!(what.contains("behind its end"), "{what}");
}

#[test]
fn the_wire_does_what_was_said_the_same_way_each_time() {
    let said = options(&["--loss", "30%", "--duplicate", "20%", "--delay", "5ms±2"]);
    let pass = |seed| {
        let mut wire = Wire::new(&said, seed);
        for count in 0..1_000_u32 {
            let frame = [&[2, 0, 0, 0, 0, 2][..], &count.to_be_bytes()].concat();
            wire.push(1, &frame, Instant::ZERO + Duration::from_micros(u64::from(count)));
        }
        let mut came = Vec::new();
        while wire.deadline() != Instant::NEVER {
            let at = wire.deadline();
            came.extend(wire.pop(at).map(|(to, frame)| (at, to, frame)));
        }
        came
    };
    let came = pass(1);
    assert!((700..1_000).contains(&came.len()), "{} of 1000", came.len());
    assert!(came.iter().all(|(at, to, _)| *to == 2 && at.as_nanos() >= 3_000_000));
    assert!(came.is_sorted_by_key(|(_, _, frame)| frame.clone()), "in order");
    assert_eq!(came, pass(1));
    assert_ne!(came, pass(2));
}
