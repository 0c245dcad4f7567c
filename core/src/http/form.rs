//! Queries, forms and JSON into values of the app's own types.

use super::{Problem, Request, Status, uri};
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec;
use core::fmt;
use serde::de::value::MapDeserializer;
use serde::de::{self, DeserializeOwned, Deserializer, IntoDeserializer, Visitor};

impl Request {
    /// The query as a `T`, a struct with a field for each parameter: numbers, `bool`, `char`,
    /// text, unit enums, and `Option` or `#[serde(default)]` for what may be missing. Unknown
    /// parameters are ignored; of one that comes twice, serde makes an error. Allocates for text.
    ///
    /// # Errors
    /// 400 when something is missing or is not what it should be.
    pub fn query_as<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let query = self.head().query().unwrap_or("");
        parse(query).map_err(|_| Problem::bad_request("the query is not what it should be"))
    }

    /// The body, a form of at most `limit` bytes (`application/x-www-form-urlencoded`), as a `T`
    /// as in [`query_as`](Self::query_as). Allocates.
    ///
    /// # Errors
    /// 415 for another media type, 413 for a longer body, 503 where there is not enough memory
    /// for it, 400 for anything else that is wrong.
    pub async fn form<T: DeserializeOwned>(&mut self, limit: usize) -> Result<T, Problem> {
        self.expect_media("application/x-www-form-urlencoded")?;
        let bytes = self.collect(limit).await?;
        let form = core::str::from_utf8(&bytes).ok().and_then(|text| parse(text).ok());
        form.ok_or(Problem::bad_request("the form is not what it should be"))
    }

    /// The body, JSON of at most `limit` bytes, as a `T`. Allocates.
    ///
    /// # Errors
    /// 415 for another media type, 413 for a longer body, 503 where there is not enough memory
    /// for it, 400 for anything else that is wrong.
    pub async fn json<T: DeserializeOwned>(&mut self, limit: usize) -> Result<T, Problem> {
        self.expect_media("application/json")?;
        let bytes = self.collect(limit).await?;
        let value = serde_json::from_slice(&bytes);
        value.map_err(|_| Problem::bad_request("the body is not the JSON that it should be"))
    }

    /// The media type of the body without its parameters, as sent; empty where it has none.
    pub fn media_type(&self) -> &str {
        let value = self.header("Content-Type").unwrap_or("");
        value.split(';').next().unwrap_or("").trim_ascii()
    }

    fn expect_media(&self, expected: &str) -> Result<(), Problem> {
        match self.media_type().eq_ignore_ascii_case(expected) {
            true => Ok(()),
            false => Err(Problem {
                status: Status::UNSUPPORTED_MEDIA_TYPE,
                reason: "the body's Content-Type is not one that is understood here",
            }),
        }
    }
}

/// `name=value&name=value` as a `T`.
fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Misfit> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (Part::of(name), Part::of(value))
    });
    T::deserialize(MapDeserializer::new(pairs))
}

/// A name or a value; `None` where its escapes are broken or it is not UTF-8.
struct Part<'a>(Option<Cow<'a, str>>);

impl<'a> Part<'a> {
    fn of(text: &'a str) -> Self {
        if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
            return Self(Some(Cow::Borrowed(text)));
        }
        // What is decoded is never longer.
        let mut room = vec![0; text.len()];
        Self(uri::decode(text, true, &mut room).map(|text| Cow::Owned(String::from(text))))
    }
}

/// Why a value does not fit.
#[derive(Debug)]
struct Misfit;

macro_rules! parsed {
    ($($method:ident $visit:ident),*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            visitor.$visit(self.0.ok_or(Misfit)?.parse().map_err(|_| Misfit)?)
        })*
    };
}

impl<'de> Deserializer<'de> for Part<'_> {
    type Error = Misfit;

    parsed!(
        deserialize_bool visit_bool,
        deserialize_char visit_char,
        deserialize_f32 visit_f32,
        deserialize_f64 visit_f64,
        deserialize_i8 visit_i8,
        deserialize_i16 visit_i16,
        deserialize_i32 visit_i32,
        deserialize_i64 visit_i64,
        deserialize_i128 visit_i128,
        deserialize_u8 visit_u8,
        deserialize_u16 visit_u16,
        deserialize_u32 visit_u32,
        deserialize_u64 visit_u64,
        deserialize_u128 visit_u128
    );

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0.ok_or(Misfit)? {
            Cow::Borrowed(text) => visitor.visit_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_enum(self.0.ok_or(Misfit)?.into_deserializer())
    }

    serde::forward_to_deserialize_any! {
        str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
        ignored_any
    }
}

impl IntoDeserializer<'_, Misfit> for Part<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl de::Error for Misfit {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value does not fit its type")
    }
}

impl core::error::Error for Misfit {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use serde::Deserialize;

    #[derive(Deserialize, PartialEq, Debug)]
    struct Search {
        text: String,
        page: u32,
        order: Option<Order>,
        #[serde(default)]
        exact: bool,
    }

    #[derive(Deserialize, PartialEq, Debug)]
    #[serde(rename_all = "lowercase")]
    enum Order {
        Up,
        Down,
    }

    #[test]
    fn a_query_becomes_a_struct() {
        let found: Search = parse("text=a+b%26c&page=7&order=down&other=%41&&exact=true").unwrap();
        let text = "a b&c".to_string();
        assert_eq!(found, Search { text, page: 7, order: Some(Order::Down), exact: true });
        let found: Search = parse("page=0&text=").unwrap();
        assert_eq!(found, Search { text: String::new(), page: 0, order: None, exact: false });
        for bad in [
            "",
            "text=a",
            "text=a&page=",
            "text=a&page=-1",
            "text=a&page=1x",
            "text=a&page=1&page=2",
            "text=%zz&page=1",
            "text=%ff&page=1",
            "text=a&page=1&order=sideways",
            "text=a&page=1&exact=yes",
        ] {
            assert!(parse::<Search>(bad).is_err(), "{bad}");
        }
    }
}
