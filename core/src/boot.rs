//! Values that are said at boot, instead of those of the manifest.
//!
//! A component's metadata marks the keys for which that is allowed; the generated code asks for
//! each of them here, before it makes the instance. A platform gives what it was told as words
//! `instance.key=value`: on the command line, in files of QEMU's, in the environment. What does
//! not fit changes nothing and is said on the console.
//!
//! Values are written as in the manifest, without quotes.

use crate::{Context, Duration, Mac, error, info};
use alloc::boxed::Box;
use core::net::Ipv4Addr;
use core::str::FromStr;

/// The words `name=value` of `text` whose name has a dot, in their order, but for those that
/// platforms themselves understand.
pub fn words(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = text.split_ascii_whitespace().filter_map(|word| word.split_once('='));
    pairs.filter(|(name, _)| name.contains('.') && !name.starts_with("virtio_mmio."))
}

/// Replaces `value` by what was last said for `key`, if it was and `parse` understands it.
/// `expected` says what would fit.
pub fn set<T>(
    cx: &Context,
    key: &str,
    value: &mut T,
    expected: &str,
    parse: impl Fn(&str) -> Option<T>,
) {
    let said = words(cx.platform().boot_options()).filter(|(name, _)| *name == key).last();
    let Some((_, text)) = said else { return };
    let first = cx.core() == 0;
    match parse(text) {
        Some(fits) => {
            *value = fits;
            if first {
                info!(cx, "{key} is {text}, as was said at boot");
            }
        }
        None if first => {
            error!(cx, "{key}={text} was said at boot; expected {expected}: the manifest's stays");
        }
        None => {}
    }
}

/// Says which words are for keys that cannot be set at boot. `keys` can.
pub fn check(cx: &Context, keys: &[&str]) {
    if cx.core() != 0 {
        return;
    }
    for (name, _) in words(cx.platform().boot_options()) {
        if !keys.contains(&name) {
            error!(cx, "{name} was said at boot, and is no key that can be set then: {keys:?} are");
        }
    }
}

/// What a component's configuration must be: there for as long as the image runs.
pub fn keep<C>(config: C) -> &'static C {
    Box::leak(Box::new(config))
}

/// `true` or `false`, an address: whatever Rust reads as the manifest has it.
pub fn parsed<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

/// A number from `least` to `most`.
pub fn number<T: TryFrom<u64>>(least: u64, most: u64) -> impl Fn(&str) -> Option<T> {
    move |text| {
        let number = digits(text)?;
        T::try_from(number).ok().filter(|_| (least..=most).contains(&number))
    }
}

/// Bytes, from `least` to `most`: a number, and maybe `K`, `M` or `G` behind.
pub fn size(least: u64, most: u64) -> impl Fn(&str) -> Option<u64> {
    let units = [("", 0), ("B", 0), ("K", 10), ("KiB", 10), ("M", 20), ("MiB", 20)];
    let units = units.into_iter().chain([("G", 30), ("GiB", 30)]);
    let units = units.map(|(unit, shift)| (unit, 1 << shift));
    move |text| with_unit(text, units.clone()).filter(|size| (least..=most).contains(size))
}

/// A length of time from `least` to `most` nanoseconds: a number and its unit.
pub fn duration(least: u64, most: u64) -> impl Fn(&str) -> Option<Duration> {
    const SECOND: u64 = 1_000_000_000;
    let units = [("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", SECOND), ("m", 60 * SECOND)];
    let units = units.into_iter().chain([("h", 3_600 * SECOND), ("d", 86_400 * SECOND)]);
    move |text| {
        let nanos = with_unit(text, units.clone())?;
        (least..=most).contains(&nanos).then(|| Duration::from_nanos(nanos))
    }
}

/// An IPv4 address and the length of its prefix.
pub fn cidr4(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    Some((address.parse().ok()?, prefix.parse().ok().filter(|prefix| *prefix <= 32)?))
}

/// An Ethernet address: six hexadecimal bytes.
pub fn mac(text: &str) -> Option<Mac> {
    let mut parts = text.split(':');
    let mut bytes = [0; 6];
    for byte in &mut bytes {
        let part = parts.next().filter(|part| part.len() == 2)?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(Mac(bytes))
}

/// Text of `least` to `most` bytes.
pub fn text(least: u64, most: u64) -> impl Fn(&str) -> Option<&'static str> {
    move |text| {
        let fits = (least..=most).contains(&(text.len() as u64));
        fits.then(|| &*Box::leak(Box::<str>::from(text)))
    }
}

/// A value, or for none a `word`.
pub fn or<T>(word: &str, parse: impl Fn(&str) -> Option<T>) -> impl Fn(&str) -> Option<Option<T>> {
    move |text| if text == word { Some(None) } else { parse(text).map(Some) }
}

/// A value that may be absent, and is not.
pub fn some<T>(parse: impl Fn(&str) -> Option<T>) -> impl Fn(&str) -> Option<Option<T>> {
    move |text| parse(text).map(Some)
}

/// A number whose digits may be parted by `_`.
fn digits(text: &str) -> Option<u64> {
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    text.bytes().filter(|byte| *byte != b'_').try_fold(0u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

fn with_unit(text: &str, units: impl IntoIterator<Item = (&'static str, u64)>) -> Option<u64> {
    let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let named = text.get(number.len()..)?;
    let (_, unit) = units.into_iter().find(|(unit, _)| *unit == named)?;
    digits(number)?.checked_mul(unit)
}

#[cfg(test)]
mod tests;
