//! Parts of a representation (RFC 9110, section 14).

#[cfg(test)]
mod tests;

/// Bytes from `first` to `last`, both included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Part {
    pub(super) first: u64,
    pub(super) last: u64,
}

/// What a `Range` asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wanted<'a> {
    /// All of it: the field is none that we know, or abuses us.
    Whole,
    /// Only what is not there: 416.
    Nothing,
    /// One part.
    One(Part),
    /// Several.
    Several(Parts<'a>),
}

/// The parts that are there, of those that a field asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Parts<'a> {
    set: &'a [u8],
    length: u64,
}

impl Part {
    pub(super) fn len(self) -> u64 {
        self.last - self.first + 1
    }
}

impl<'a> Parts<'a> {
    pub(super) fn iter(self) -> impl Iterator<Item = Part> + 'a {
        let specs = specs(self.set).filter_map(Result::ok);
        specs.filter_map(move |spec| spec.part(self.length))
    }
}

/// What the value of a `Range` asks for of `length` bytes.
///
/// Many parts, or parts that together are more than the whole, are what attacks are made of: they
/// get the whole (section 14.2).
pub(super) fn parse(value: &[u8], length: u64) -> Wanted<'_> {
    let Some((unit, set)) = value.split_at_checked(6) else { return Wanted::Whole };
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return Wanted::Whole;
    }
    let parts = Parts { set, length };
    let (mut count, mut there, mut sum, mut first) = (0, 0, 0_u64, None);
    for spec in specs(set) {
        let Ok(spec) = spec else { return Wanted::Whole };
        count += 1;
        if count > MOST_PARTS {
            return Wanted::Whole;
        }
        if length == 0 && matches!(spec, Spec::Last(1..)) {
            // It can be met, but there is no way to say so.
            return Wanted::Whole;
        }
        if let Some(part) = spec.part(length) {
            there += 1;
            sum = sum.saturating_add(part.len());
            first.get_or_insert(part);
        }
    }
    match (count, there, first) {
        (0, ..) => Wanted::Whole,
        (_, 1, Some(part)) => Wanted::One(part),
        (_, _, Some(_)) if sum <= length => Wanted::Several(parts),
        (_, _, Some(_)) => Wanted::Whole,
        (_, _, None) => Wanted::Nothing,
    }
}

/// One of those that are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Spec {
    From(u64),
    FromTo(u64, u64),
    Last(u64),
}

/// It is no such thing.
struct Malformed;

impl Spec {
    fn part(self, length: u64) -> Option<Part> {
        //= RFC 9110 14.1.2: a last byte behind the end is the end
        let end = length.checked_sub(1)?;
        let (first, last) = match self {
            Self::From(first) => (first, end),
            Self::FromTo(first, last) => (first, last.min(end)),
            Self::Last(0) => return None,
            Self::Last(count) => (length.saturating_sub(count), end),
        };
        (first <= end).then_some(Part { first, last })
    }
}

/// The elements of a list; those that are empty do not count (section 5.6.1).
fn specs(set: &[u8]) -> impl Iterator<Item = Result<Spec, Malformed>> {
    let elements = set.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    elements.filter(|element| !element.is_empty()).map(|element| spec(element).ok_or(Malformed))
}

fn spec(element: &[u8]) -> Option<Spec> {
    let dash = element.iter().position(|&byte| byte == b'-')?;
    let (first, last) = (element.get(..dash)?, element.get(dash + 1..)?);
    Some(match (first, last) {
        ([], _) => Spec::Last(number(last)?),
        (_, []) => Spec::From(number(first)?),
        _ => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Spec::FromTo(first, last))?
        }
    })
}

/// Digits, one at least. What is too large for a number is as large as one can be.
fn number(digits: &[u8]) -> Option<u64> {
    let add = |sum: u64, &digit: &u8| {
        let value = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        Some(sum.saturating_mul(10).saturating_add(value))
    };
    if digits.is_empty() { None } else { digits.iter().try_fold(0, add) }
}

/// The most parts of one response.
const MOST_PARTS: usize = 16;
