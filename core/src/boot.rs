//! Values that are said at boot, instead of those of the manifest.
//!
//! A component's metadata marks the keys for which that is allowed; the generated code asks for
//! each of them here, before it makes the instance. A platform gives what it was told as words
//! `instance.key=value`: in the device tree, on the command line, in a file of QEMU's, as options
//! of a process. Where several say the same key, the platform's last one counts, and of its words
//! the last. What does not fit changes nothing and is said on the console.
//!
//! Values are written as in the manifest, without quotes.

use crate::cores::Pin;
use crate::device::Platform;
use crate::log::Level;
use crate::{Context, Duration, Mac, error, info};
use alloc::boxed::Box;
use core::net::Ipv4Addr;
use core::str::FromStr;

/// What somebody said at boot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Said<'a> {
    /// Who, in words: `the command line`.
    pub by: &'static str,
    /// The words, parted by white space.
    pub words: &'a str,
    /// Whether others are told things there, too: words without a dot may be theirs.
    pub shared: bool,
    /// Whether there was more than the words that are here.
    pub cut: bool,
}

/// The word that sets the level of messages. It is no key of an instance, but every platform's.
const LOG: &str = "log";

/// All that was said at boot, what counts most last.
fn all(platform: &dyn Platform) -> impl Iterator<Item = Said<'_>> {
    (0..).map_while(|index| platform.said_at_boot(index))
}

impl<'a> Said<'a> {
    /// The words `name=value`, in their order. Those without `=` have no value.
    fn pairs(self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        self.words.split_ascii_whitespace().map(|word| match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        })
    }
}

/// What was last said for the key `key`, and by whom.
#[inline(never)] // once in an image, not once for each type of value
fn last<'a>(platform: &'a dyn Platform, key: &str) -> Option<(&'a str, &'static str)> {
    let values = all(platform).flat_map(|said| {
        let values = said.pairs().filter(move |(name, _)| *name == key);
        values.filter_map(move |(_, value)| Some((value?, said.by)))
    });
    values.last()
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
    let Some((text, by)) = last(cx.platform(), key) else { return };
    let first = cx.core() == 0;
    match parse(text) {
        Some(fits) => {
            *value = fits;
            if first {
                info!(cx, "{key} is {text}, by {by}");
            }
        }
        None if first => {
            error!(cx, "{by} says {key}={text}; expected {expected}: the manifest's stays");
        }
        None => {}
    }
}

/// Says which words are for keys that cannot be set at boot. `keys` can.
pub fn check(cx: &Context, keys: &[&str]) {
    if cx.core() != 0 {
        return;
    }
    for said in all(cx.platform()) {
        said.pairs().for_each(|(name, value)| check_word(cx, said, keys, name, value));
        if said.cut {
            let by = said.by;
            error!(cx, "{by} says more than fits, or no text: what is behind does not count");
        }
    }
}

fn check_word(cx: &Context, said: Said<'_>, keys: &[&str], name: &str, value: Option<&str>) {
    let Said { by, shared, .. } = said;
    // What platforms themselves understand.
    let other = name == LOG || name.starts_with("virtio_mmio.");
    if keys.contains(&name) || (other && !shared) {
        if value.is_none() {
            error!(cx, "{by} says {name} without a value: it stays as it is");
        }
    } else if !other && (!shared || (name.contains('.') && value.is_some())) {
        error!(
            cx,
            "{by} says {name}, which is no key that can be set at boot; these are: {keys:?}"
        );
    }
}

/// The level of messages that was last said, by the word `log=`; `Err` with the word's value and
/// who said it when there is no such level.
///
/// # Errors
/// When what was said is no level.
pub fn level(platform: &dyn Platform) -> Result<Option<Level>, (&str, &'static str)> {
    let Some((text, by)) = last(platform, LOG) else { return Ok(None) };
    text.parse().map(Some).map_err(|()| (text, by))
}

/// Says that what [`level`] gave is no level. `usual` is the one that stays.
pub fn refuse_level(cx: &Context, (text, by): (&str, &str), usual: Level) {
    let expected = "error, warn, info, debug or trace";
    error!(cx, "{by} says {LOG}={text}; expected {expected}: it stays {usual}");
}

/// `pins` with the ports that were said at boot, as the services that are pinned have them.
#[cold]
#[inline(never)] // once in an image, at the start
pub(crate) fn pins(cx: &Context, pins: &'static [Pin]) -> &'static [Pin] {
    let said = |pin: &Pin| {
        let (text, _) = last(cx.platform(), pin.key?)?;
        number(1, u64::from(u16::MAX))(text)
    };
    if pins.iter().all(|pin| said(pin).is_none()) {
        return pins;
    }
    let moved = pins.iter().map(|pin| Pin { port: said(pin).unwrap_or(pin.port), ..*pin });
    Box::leak(moved.collect::<Box<[Pin]>>())
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
