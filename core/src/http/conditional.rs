//! Conditional requests: what a client knows already, and what it must not overwrite (RFC 9110,
//! section 13).

use super::head::is_same_name;
use super::{Date, FieldValue, Fields, Head, IntoResponse, Method, Request, Response, Status};
use crate::Pool;
use crate::packet::NoRoom;

/// An entity tag (RFC 9110, section 8.8.3): text that is different for each state of a resource.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tag<'a> {
    opaque: &'a [u8],
    weak: bool,
}

/// What tells the states of a resource apart (RFC 9110, section 8.8).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Validators<'a> {
    exists: bool,
    tag: Option<Tag<'a>>,
    modified: Option<Date>,
}

/// What a request's conditions come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// There are none, or they hold.
    Proceed,
    /// The client has what it asks for: 304.
    NotModified,
    /// A condition does not hold: 412.
    Failed,
}

impl<'a> Tag<'a> {
    /// A tag that says that the bytes are the same. `opaque` is what stands between the quotes:
    /// visible characters without a quote, or the response that it is added to becomes a 500.
    pub const fn strong(opaque: &'a str) -> Self {
        Self { opaque: opaque.as_bytes(), weak: false }
    }

    /// A tag that says that the meaning is the same.
    pub const fn weak(opaque: &'a str) -> Self {
        Self { opaque: opaque.as_bytes(), weak: true }
    }

    /// Whether both are strong and say the same (RFC 9110, section 8.8.3.2).
    //= RFC 9110 8.8.3.2: a weak tag is strongly equal to none
    pub fn is_strongly(self, other: Tag<'_>) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Whether both say the same, weak or not.
    pub fn is_weakly(self, other: Tag<'_>) -> bool {
        self.opaque == other.opaque
    }

    /// The tag that `text` begins with, and what stands behind it.
    fn split(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (weak, quoted) = match text.strip_prefix(b"W/") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let behind = quoted.strip_prefix(b"\"")?;
        let end = behind.iter().position(|&byte| byte == b'"')?;
        let (opaque, rest) = behind.split_at(end);
        opaque.iter().all(|&byte| is_opaque(byte)).then_some(())?;
        Some((Self { opaque, weak }, rest.get(1..)?))
    }
}

impl<'a> Validators<'a> {
    /// Those of a resource that has no representation: nothing is there, or not yet.
    pub const MISSING: Self = Self { exists: false, tag: None, modified: None };

    /// None as yet, of a resource that is there.
    pub const fn new() -> Self {
        Self { exists: true, tag: None, modified: None }
    }

    /// The same with a tag.
    #[must_use]
    pub const fn tag(mut self, tag: Tag<'a>) -> Self {
        self.tag = Some(tag);
        self
    }

    /// The same with the time of the last change.
    #[must_use]
    pub const fn modified(mut self, modified: Date) -> Self {
        self.modified = Some(modified);
        self
    }

    /// What the conditions in `head` come to, in the order of RFC 9110, section 13.2.2. To be
    /// asked before anything is done, and only where the answer would be a success otherwise.
    pub fn judge(&self, head: &Head) -> Verdict {
        //= RFC 9110 13.2.2: If-Match, If-Unmodified-Since, If-None-Match, If-Modified-Since
        let method = head.method();
        if matches!(method, Method::Connect | Method::Options | Method::Trace) {
            return Verdict::Proceed;
        }
        let starts =
            |name: &str| name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("If-"));
        if !head.fields().any(|(name, _)| starts(name)) {
            return Verdict::Proceed;
        }
        let reads = matches!(method, Method::Get | Method::Head);
        if head.field_bytes("If-Match").is_some() {
            if !self.is_listed(head, "If-Match", Tag::is_strongly) {
                return Verdict::Failed;
            }
        } else if let (Some(modified), Some(date)) = self.dates(head, "If-Unmodified-Since")
            && modified > date
        {
            return Verdict::Failed;
        }
        if head.field_bytes("If-None-Match").is_some() {
            return match self.is_listed(head, "If-None-Match", Tag::is_weakly) {
                true if reads => Verdict::NotModified,
                true => Verdict::Failed,
                false => Verdict::Proceed,
            };
        }
        match self.dates(head, "If-Modified-Since") {
            (Some(modified), Some(date)) if reads && modified <= date => Verdict::NotModified,
            _ => Verdict::Proceed,
        }
    }

    /// Whether a `Range` counts: there is no `If-Range`, or it names just this state (RFC 9110,
    /// section 13.1.5).
    pub(super) fn allows_range(&self, head: &Head) -> bool {
        //= RFC 9110 13.1.5: compared strongly, or the very same date
        let Some(value) = head.field_bytes("If-Range") else { return true };
        match Tag::split(value) {
            Some((tag, b"")) => self.tag.is_some_and(|own| own.is_strongly(tag)),
            Some(_) => false,
            None => self.modified.is_some_and(|own| parse(value, own) == Some(own)),
        }
    }

    /// Adds `ETag` and `Last-Modified` to a response.
    pub(super) fn add_to(&self, response: &mut Response, pool: Pool) {
        if let Some(tag) = self.tag {
            response.add_field(pool, "ETag", tag);
        }
        if let Some(modified) = self.modified {
            response.add_field(pool, "Last-Modified", modified);
        }
    }

    /// Whether the lists in all fields called `name` have our tag, or are `*` and we are there.
    /// What is no list ends there.
    fn is_listed(&self, head: &Head, name: &str, same: impl Fn(Tag<'a>, Tag<'_>) -> bool) -> bool {
        let mut lists = head.fields().filter(|(other, _)| is_same_name(other, name));
        lists.any(|(_, value)| {
            if value == b"*" {
                return self.exists;
            }
            let Some(own) = self.tag else { return false };
            Tags(value).any(|tag| same(own, tag))
        })
    }

    /// Our date and that of the field `name`, where there are such.
    fn dates(&self, head: &Head, name: &str) -> (Option<Date>, Option<Date>) {
        let Some(own) = self.modified else { return (None, None) };
        let mut fields = head.fields().filter(|(other, _)| is_same_name(other, name));
        let date = match (fields.next(), fields.next()) {
            (Some((_, value)), None) => parse(value, own),
            _ => None,
        };
        (Some(own), date)
    }
}

/// The date in a field. What a year of two digits means depends on the present, which is not
/// before `own` nor before these lines were written.
fn parse(value: &[u8], own: Date) -> Option<Date> {
    const WRITTEN: Date = Date::from_unix(1_790_000_000);
    Date::parse(value, own.max(WRITTEN))
}

impl Default for Validators<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl Request {
    /// Asks whether the request's conditions (`If-Match`, `If-None-Match`, `If-Modified-Since`,
    /// `If-Unmodified-Since`) hold for the state that `validators` describe.
    ///
    /// # Errors
    /// The response to answer with: 304 with the validators, or 412.
    pub fn check(&self, validators: &Validators<'_>) -> Result<(), Response> {
        match validators.judge(self.head()) {
            Verdict::Proceed => Ok(()),
            Verdict::Failed => Err(Response::plain(Status::PRECONDITION_FAILED)),
            Verdict::NotModified => {
                let mut response = Response::new(Status::NOT_MODIFIED);
                validators.add_to(&mut response, self.pool());
                Err(response)
            }
        }
    }
}

/// What [`IntoResponse::validators`] returns.
#[derive(Clone, Copy, Debug)]
pub struct WithValidators<'a, R>(pub(super) R, pub(super) Validators<'a>);

impl<R: IntoResponse> IntoResponse for WithValidators<'_, R> {
    fn into_response(self, pool: Pool) -> Response {
        let mut response = self.0.into_response(pool);
        self.1.add_to(&mut response, pool);
        response
    }
}

/// The tags of a list, up to where it is none.
struct Tags<'a>(&'a [u8]);

impl<'a> Iterator for Tags<'a> {
    type Item = Tag<'a>;

    fn next(&mut self) -> Option<Tag<'a>> {
        while let [b' ' | b'\t' | b',', rest @ ..] = self.0 {
            self.0 = rest;
        }
        let (tag, rest) = Tag::split(self.0)?;
        self.0 = match rest.trim_ascii_start() {
            [] => &[],
            [b',', rest @ ..] => rest,
            _ => return None,
        };
        Some(tag)
    }
}

impl FieldValue for Tag<'_> {
    fn write(self, fields: &mut Fields) -> Result<(), NoRoom> {
        if !self.opaque.iter().all(|&byte| is_opaque(byte)) {
            fields.spoil();
        }
        fields.append(if self.weak { b"W/\"" } else { b"\"" })?;
        fields.append(self.opaque)?;
        fields.append(b"\"")
    }
}

/// Whether a byte may stand in a tag (RFC 9110, section 8.8.3).
fn is_opaque(byte: u8) -> bool {
    byte == b'!' || (b'#'..=b'~').contains(&byte) || byte >= 0x80
}
