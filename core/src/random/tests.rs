//! The generator: what it gives, and what it refuses.

use super::*;

#[test]
fn the_same_seed_gives_the_same_numbers_and_another_gives_others() {
    let draw = |seed| {
        core::array::from_fn::<u64, 100, _>({
            let mut random = Random::new([seed; 32]);
            move |_| random.u64()
        })
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

#[test]
fn below_stays_below_and_reaches_everything() {
    let mut random = Random::new([7; 32]);
    let mut seen = [false; 10];
    for _ in 0..1_000 {
        seen[random.below(10) as usize] = true;
    }
    assert_eq!(seen, [true; 10]);
    assert_eq!(random.below(0), 0);
}

#[test]
#[should_panic(expected = "random numbers were drawn before there was entropy")]
fn nothing_is_drawn_before_there_is_a_seed() {
    Random::unseeded().u32();
}

#[test]
fn entropy_seeds_a_generator_that_had_none() {
    let mut random = Random::unseeded();
    assert!(!random.is_seeded());
    random.reseed(&[1; 32]);
    assert!(random.is_seeded());
    assert_eq!(random.u64(), Random::new([1; 32]).u64());
}

#[test]
fn reseeding_changes_what_follows() {
    let (mut one, mut two) = (Random::new([1; 32]), Random::new([1; 32]));
    one.reseed(&[9; 32]);
    assert_ne!(one.u64(), two.u64());
}
