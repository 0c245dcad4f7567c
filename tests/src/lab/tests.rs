//! What the laboratory says of tests, without running any image.

use super::*;

fn test(name: &str) -> Test {
    Test::new(name, &[], |_| {})
}

fn skipped(need: Need) -> Outcome {
    Outcome::Skipped { need, missing: "needs something".to_owned() }
}

#[test]
fn what_was_skipped_is_seen_and_counts_where_all_is_required() {
    let (a, b) = (test("one"), test("two"));
    let results = [(&a, Outcome::Passed(1.5)), (&b, skipped(Need::Tap))];
    let (text, fine) = summary(&results, false);
    assert!(fine && text.contains("skipped  two "), "{text}");
    assert!(text.ends_with("test result: ok. 1 passed; 0 failed; 1 ignored"), "{text}");
    let (text, fine) = summary(&results, true);
    assert!(!fine && text.contains("a skipped test is a failure here"), "{text}");
}

#[test]
fn a_machine_may_lack_limine_whatever_is_required() {
    let (a, b) = (test("one"), test("two"));
    let results = [(&a, skipped(Need::Limine)), (&b, Outcome::Passed(1.0))];
    let (text, fine) = summary(&results, true);
    assert!(fine, "{text}");
    assert!(text.contains("skipped  one ") && text.contains("needs something"), "{text}");
    let failed = [(&a, skipped(Need::Limine)), (&b, Outcome::Failed(1.0))];
    assert!(!summary(&failed, false).1);
}

#[test]
fn a_variant_is_chosen_by_its_platform_and_its_architecture() {
    let of = |platform, arch| Variant { platform, arch };
    let arm = of("qemu", Some(Arch::Aarch64));
    assert!(arm.is(None, None) && arm.is(Some("qemu"), None) && arm.is(None, Some("aarch64")));
    assert!(!arm.is(Some("iso"), None) && !arm.is(Some("qemu"), Some("x86_64")));
    assert!(of("native", None).is(Some("native"), Some("x86_64")));
}
