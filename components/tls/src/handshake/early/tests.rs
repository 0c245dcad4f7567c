use super::*;
use alloc::sync::Arc;
use alloc::vec;
use waitless::Random;

extern crate std;

const SECOND: Duration = Duration::from_secs(1);

fn at(secs: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(secs)
}

fn binder(number: u64) -> [u8; 16] {
    Random::new([number as u8 + 1; 32]).bytes::<16>().map(|byte| byte ^ (number >> 8) as u8)
}

#[test]
fn a_hello_is_remembered_until_it_could_not_be_accepted_any_more() {
    // Also where the seconds of 16 bits are over, and where entries are from long ago.
    for start in [100, 65_530, 65_536 * 3 - 5] {
        let register = Register::new();
        let (hello, until) = (binder(1), at(start + 22));
        assert_eq!(register.admit(&hello, until, at(start)), Ok(()));
        for secs in [0, 1, 10, 21, 22] {
            let again = register.admit(&hello, until, at(start + secs));
            assert_eq!(again, Err(Refusal::Replayed), "{secs}");
        }
        assert_eq!(register.admit(&binder(2), until, at(start)), Ok(()));
        // The binder could be used again now, which is why age is looked at before.
        assert_eq!(register.admit(&hello, at(start + 80), at(start + 60)), Ok(()));
        // An entry seems to be good again, when the seconds have gone round.
        let later = start + 65_536 + 70;
        assert_eq!(register.admit(&binder(3), at(later + 22), at(later)), Ok(()));
    }
}

#[test]
fn nothing_is_forgotten_early_for_want_of_places() {
    let register = Register::of(1);
    let hellos: Vec<_> = (0..WAYS as u64).map(binder).collect();
    for hello in &hellos {
        assert_eq!(register.admit(hello, at(22), at(0)), Ok(()));
    }
    let more = binder(200);
    assert_eq!(register.admit(&more, at(22), at(0)), Err(Refusal::Full));
    // Another core, whose clock is a second behind, would still accept them.
    assert_eq!(register.admit(&more, at(44), at(22)), Err(Refusal::Full));
    for hello in &hellos {
        assert_eq!(register.admit(hello, at(22), at(21)), Err(Refusal::Replayed));
    }
    assert_eq!(register.admit(&more, at(46), at(24)), Ok(()));
}

/// What docs/tls.md says of a thousand hellos a second, whose clients are right about the age.
#[test]
fn of_many_hellos_few_find_no_place() {
    let (register, mut random) = (Register::new(), Random::new([5; 32]));
    let mut count = 0;
    for millis in 0..60_000 {
        let now = Instant::ZERO + Duration::from_millis(millis);
        let said = register.admit(&random.bytes(), now + WINDOW + SLACK, now);
        assert!(matches!(said, Ok(()) | Err(Refusal::Full)), "{said:?}");
        count += u32::from(said.is_err());
    }
    assert!((60_000 / 100..60_000 / 65).contains(&count), "{count} were refused");
}

#[test]
fn cores_that_get_the_same_hello_at_once_accept_it_once_at_most() {
    const CORES: usize = 4;
    let register = Arc::new(Register::of(16));
    let start = Arc::new(std::sync::Barrier::new(CORES));
    let hellos: Arc<Vec<_>> = Arc::new((0..64).map(binder).collect());
    let core = |core: usize| {
        let (register, start, hellos) = (register.clone(), start.clone(), hellos.clone());
        std::thread::spawn(move || {
            let mut accepted = vec![false; hellos.len()];
            start.wait();
            for (place, hello) in accepted.iter_mut().zip(hellos.iter()) {
                // Their clocks differ, so that they see different places free.
                let now = at(100 + core as u64 % 2);
                *place = register.admit(hello, now + SECOND.times(20), now).is_ok();
            }
            accepted
        })
    };
    let cores: Vec<_> = (0..CORES).map(core).collect();
    let all: Vec<_> = cores.into_iter().map(|core| core.join().unwrap()).collect();
    let times = |at: usize| all.iter().filter(|accepted| accepted[at]).count();
    assert!((0..hellos.len()).all(|at| times(at) <= 1));
    assert!((0..hellos.len()).any(|at| times(at) == 1));
}

#[test]
fn a_grant_is_read_as_it_was_written() {
    let grant = Grant { age_add: 0x0102_0304, bound: [7; 16] };
    for grant in [Some(grant), None] {
        let mut said = b"somebody".to_vec();
        Grant::write(grant, &mut said);
        assert_eq!(Grant::take(&mut said), grant);
        assert_eq!(said, b"somebody");
    }
    assert_eq!(Grant::take(&mut Vec::new()), None);
}
