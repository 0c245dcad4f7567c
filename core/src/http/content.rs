//! Representations that live as long as the image: conditions, ranges and codings for them.

use super::conditional::Verdict;
use super::head::is_same_name;
use super::negotiation::{Coding, Weights};
use super::range::{self, Part, Parts, Wanted};
use super::{
    Body, Date, Integer, IntoResponse, Method, Request, Response, Status, Tag, Validators,
};

/// A resource whose bytes are part of the image, in one or more codings.
#[derive(Clone, Copy, Debug)]
pub struct Content {
    /// Its media type.
    pub media: &'static str,
    /// When it was changed last.
    pub modified: Option<Date>,
    /// Its codings; where several are wanted equally, the first of them is chosen.
    pub variants: &'static [Variant],
}

/// A resource in one coding.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// How its bytes are coded.
    pub coding: Coding,
    /// Its own tag, strong, with no other text than letters, digits and what a multipart
    /// boundary may have.
    pub tag: &'static str,
    /// The bytes.
    pub bytes: &'static [u8],
}

impl Content {
    /// The response to `request`, which is a `GET` or a `HEAD`: the variant that the client
    /// prefers, or the parts of it that it asks for (RFC 9110, sections 12.5.3, 13 and 14).
    /// `cache` is what `Cache-Control` says, where there is one.
    ///
    /// Fields of your own are added before, by [`Request::respond_with`]: where several parts are
    /// asked for, all of the response is on its way when this returns, and what is added to what
    /// it returns comes too late.
    pub async fn respond(
        &'static self,
        request: &Request,
        cache: Option<&'static str>,
    ) -> Response {
        let Some(variant) = self.choose(request) else {
            return self.vary(Response::plain(Status::NOT_ACCEPTABLE), request);
        };
        let validators = self.validators(variant);
        let ranges = match validators.judge(request.head()) {
            Verdict::Failed => {
                return self.vary(Response::plain(Status::PRECONDITION_FAILED), request);
            }
            //= RFC 9110 15.4.5: with ETag, Vary and Cache-Control
            Verdict::NotModified => {
                let response = self.describe(Response::new(Status::NOT_MODIFIED), variant, request);
                return with_cache(response, cache, request);
            }
            Verdict::Proceed => self.ranges(variant, request),
        };
        let response = match ranges {
            Wanted::Several(parts) => {
                return self.respond_with_parts(variant, parts, request, cache).await;
            }
            Wanted::Nothing => {
                //= RFC 9110 15.5.17: with the length in Content-Range
                let length = Integer::new(variant.bytes.len() as u64);
                let mut response = Response::plain(Status::RANGE_NOT_SATISFIABLE);
                let value = ["bytes */", length.text()];
                response.add_field(request.pool(), "Content-Range", value);
                return self.vary(response, request);
            }
            Wanted::One(part) => {
                let mut response =
                    Response::new(Status::PARTIAL_CONTENT).body(Body::Static(variant.slice(part)));
                response.add_field(request.pool(), "Content-Range", variant.range(part).as_str());
                response
            }
            Wanted::Whole => {
                let mut response = Response::ok().body(Body::Static(variant.bytes));
                response.add_field(request.pool(), "Accept-Ranges", "bytes");
                response
            }
        };
        let response = self.describe(response.content_type(self.media), variant, request);
        with_cache(response, cache, request)
    }

    fn choose(&self, request: &Request) -> Option<&'static Variant> {
        let [only] = self.variants else {
            let weights = Weights::of(request.head());
            // `max_by_key` would take the last of equals.
            let best = self.variants.iter().rev().max_by_key(|it| weights.weight(it.coding));
            return best.filter(|best| weights.weight(best.coding) > 0);
        };
        Some(only)
    }

    fn validators(&self, variant: &Variant) -> Validators<'static> {
        let validators = Validators::new().tag(Tag::strong(variant.tag));
        self.modified.map_or(validators, |modified| validators.modified(modified))
    }

    fn ranges<'a>(&self, variant: &Variant, request: &'a Request) -> Wanted<'a> {
        //= RFC 9110 14.2: for GET alone
        if request.method() != Method::Get {
            return Wanted::Whole;
        }
        let validators = match self.variants {
            [_] => self.validators(variant),
            //= RFC 9110 8.8.1: a date that several codings have in common tells none of them
            _ => Validators::new().tag(Tag::strong(variant.tag)),
        };
        let mut fields = request.head().fields().filter(|(n, _)| is_same_name(n, "Range"));
        match (fields.next(), fields.next()) {
            (Some((_, value)), None) if validators.allows_range(request.head()) => {
                range::parse(value, variant.bytes.len() as u64)
            }
            _ => Wanted::Whole,
        }
    }

    /// Adds what every successful answer says of the variant.
    fn describe(&self, mut response: Response, variant: &Variant, request: &Request) -> Response {
        self.validators(variant).add_to(&mut response, request.pool());
        if let Some(coding) = variant.coding.name()
            && response.code() != Status::NOT_MODIFIED
        {
            response.add_field(request.pool(), "Content-Encoding", coding);
        }
        self.vary(response, request)
    }

    /// Says what the choice depended on.
    fn vary(&self, mut response: Response, request: &Request) -> Response {
        if self.variants.len() > 1 {
            response.add_field(request.pool(), "Vary", "Accept-Encoding");
        }
        response
    }

    //= RFC 9110 14.6: `multipart/byteranges`
    async fn respond_with_parts(
        &'static self,
        variant: &'static Variant,
        parts: Parts<'_>,
        request: &Request,
        cache: Option<&'static str>,
    ) -> Response {
        let frame = |part: Part| Frame { media: self.media, boundary: variant.tag, variant, part };
        let end = END.len() + variant.tag.len();
        let sum: u64 = parts.iter().map(|part| frame(part).len() + part.len()).sum();
        let mut response = Response::new(Status::PARTIAL_CONTENT).length(sum + end as u64);
        let media = ["multipart/byteranges; boundary=", variant.tag];
        response.add_field(request.pool(), "Content-Type", media);
        let response = with_cache(self.describe(response, variant, request), cache, request);
        let mut body = request.stream(response);
        for part in parts.iter() {
            for text in frame(part).texts(variant.range(part).as_str()) {
                body.write(text.as_bytes()).await;
            }
            body.write(variant.slice(part)).await;
        }
        for text in ["\r\n--", variant.tag, "--\r\n"] {
            body.write(text.as_bytes()).await;
        }
        body.finish().await.into_response(request.pool())
    }
}

impl Variant {
    fn slice(&self, part: Part) -> &'static [u8] {
        let bytes = self.bytes.get(part.first as usize..).unwrap_or(&[]);
        bytes.get(..part.len() as usize).unwrap_or(bytes)
    }

    /// The value of `Content-Range` for a part.
    fn range(&self, part: Part) -> heapless::String<72> {
        let mut text = heapless::String::new();
        let numbers = [part.first, part.last, self.bytes.len() as u64].map(Integer::new);
        // Fits: three numbers have 20 digits each at most.
        for (before, number) in ["bytes ", "-", "/"].into_iter().zip(&numbers) {
            let _ = text.push_str(before);
            let _ = text.push_str(number.text());
        }
        text
    }
}

/// What stands before a part of several.
struct Frame<'a> {
    media: &'a str,
    boundary: &'a str,
    variant: &'a Variant,
    part: Part,
}

impl<'a> Frame<'a> {
    fn texts<'b>(&self, range: &'b str) -> [&'b str; 7]
    where
        'a: 'b,
    {
        ["\r\n--", self.boundary, MEDIA, self.media, RANGE, range, "\r\n\r\n"]
    }

    fn len(&self) -> u64 {
        let range = self.variant.range(self.part);
        self.texts(range.as_str()).iter().map(|text| text.len() as u64).sum()
    }
}

fn with_cache(mut response: Response, cache: Option<&'static str>, request: &Request) -> Response {
    if let Some(cache) = cache {
        response.add_field(request.pool(), "Cache-Control", cache);
    }
    response
}

const MEDIA: &str = "\r\nContent-Type: ";
const RANGE: &str = "\r\nContent-Range: ";

/// What ends a multipart body, without its boundary.
const END: &str = "\r\n----\r\n";
