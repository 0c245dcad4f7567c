//! JSON bodies: a serializer that writes into packets (RFC 8259).

use super::response::with_body;
use super::{Body, Integer, IntoBody, IntoResponse, Response, Writer};
use crate::Pool;
use core::fmt::{self, Write as _};
use serde::ser::{self, Serialize};

/// A value, as `application/json`. A value that JSON has no form for, such as a map whose keys
/// are no text, and one of more than [`Writer::LIMIT`] bytes, make the response a 503.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    #[inline]
    fn into_response(self, pool: Pool) -> Response {
        with_body(self, "application/json", pool)
    }
}

impl<T: Serialize> IntoBody for Json<T> {
    #[inline]
    fn into_body(self, pool: Pool) -> Option<Body> {
        let mut writer = Writer::new(pool);
        self.0.serialize(Serializer { writer: &mut writer }).ok()?;
        writer.into_body()
    }
}

/// Writes one value.
struct Serializer<'a> {
    writer: &'a mut Writer,
}

/// Writes the elements of an array or object, and what closes it.
struct Elements<'a> {
    writer: &'a mut Writer,
    first: bool,
    close: &'static [u8],
}

/// The value has no form in JSON.
#[derive(Debug)]
struct NoForm;

impl<'a> Serializer<'a> {
    #[inline(always)]
    fn open(self, open: &[u8], close: &'static [u8]) -> Elements<'a> {
        self.writer.write(open);
        Elements { writer: self.writer, first: true, close }
    }

    /// `{"variant":` before what `open` opens.
    fn open_variant(self, variant: &str, open: &[u8], close: &'static [u8]) -> Elements<'a> {
        self.writer.write(b"{");
        write_text(self.writer, variant);
        self.writer.write(b":");
        self.open(open, close)
    }

    fn write(self, bytes: &[u8]) -> Result<(), NoForm> {
        self.writer.write(bytes);
        Ok(())
    }
}

impl Elements<'_> {
    #[inline]
    fn next(&mut self) {
        if !core::mem::take(&mut self.first) {
            self.writer.write(b",");
        }
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NoForm> {
        self.next();
        value.serialize(Serializer { writer: self.writer })
    }

    // Where it is called, the compiler knows the key, and that nothing in it must be escaped.
    #[inline(always)]
    fn member<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<(), NoForm> {
        self.next();
        write_text(self.writer, key);
        self.writer.write(b":");
        value.serialize(Serializer { writer: self.writer })
    }

    #[inline(always)]
    fn close(self) -> Result<(), NoForm> {
        self.writer.write(self.close);
        Ok(())
    }
}

/// `text` in quotes, with what must be escaped escaped.
#[inline(always)]
fn write_text(writer: &mut Writer, text: &str) {
    // The usual case; where the text is known to the compiler, so is the outcome.
    match is_all_plain(text.as_bytes()) {
        true => writer.write_quoted(text.as_bytes()),
        false => write_escaped(writer, text),
    }
}

/// Whether every byte stands for itself in a text. Looks at words, of which the last two may
/// overlap.
#[inline]
fn is_all_plain(text: &[u8]) -> bool {
    match (text.last_chunk::<8>(), text.first_chunk::<4>(), text.last_chunk::<4>()) {
        (Some(last), ..) => {
            let (words, _) = text.as_chunks::<8>();
            words.iter().chain([last]).all(|word| is_plain_word(u64::from_ne_bytes(*word)))
        }
        (None, Some(first), Some(last)) => {
            let [first, last] = [first, last].map(|half| u64::from(u32::from_ne_bytes(*half)));
            is_plain_word(first | last << 32)
        }
        _ => text.iter().all(|byte| is_plain(*byte)),
    }
}

/// The same for the eight bytes of `word`, in whatever order.
#[inline]
fn is_plain_word(word: u64) -> bool {
    const ONES: u64 = u64::MAX / 255;
    // A byte that is less than `least` borrows, and sets its highest bit, which it had not.
    let has_less = |word: u64, least: u64| word.wrapping_sub(ONES * least) & !word & (ONES << 7);
    let is_in = |byte: u8| has_less(word ^ (ONES * u64::from(byte)), 1);
    has_less(word, 0x20) | is_in(b'"') | is_in(b'\\') == 0
}

/// Whether a byte stands for itself in a text.
#[inline]
fn is_plain(byte: u8) -> bool {
    byte >= 0x20 && byte != b'"' && byte != b'\\'
}

#[cold]
fn write_escaped(writer: &mut Writer, text: &str) {
    writer.write(b"\"");
    let mut plain = 0;
    let bytes = text.as_bytes();
    for (at, &byte) in bytes.iter().enumerate() {
        if is_plain(byte) {
            continue;
        }
        writer.write(bytes.get(plain..at).unwrap_or(&[]));
        plain = at + 1;
        match byte {
            b'"' => writer.write(b"\\\""),
            b'\\' => writer.write(b"\\\\"),
            b'\n' => writer.write(b"\\n"),
            b'\r' => writer.write(b"\\r"),
            b'\t' => writer.write(b"\\t"),
            _ => {
                let hex = |digit: u8| if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
                writer.write(&[b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte & 15)]);
            }
        }
    }
    writer.write(bytes.get(plain..).unwrap_or(&[]));
    writer.write(b"\"");
}

macro_rules! unsigned {
    ($($name:ident: $type:ty),*) => {
        $(fn $name(self, value: $type) -> Result<(), NoForm> {
            self.writer.write_integer(value.into());
            Ok(())
        })*
    };
}

macro_rules! signed {
    ($($name:ident: $type:ty),*) => {
        $(fn $name(self, value: $type) -> Result<(), NoForm> {
            if value < 0 {
                self.writer.write(b"-");
            }
            self.writer.write(Integer::new(i64::from(value).unsigned_abs()).bytes());
            Ok(())
        })*
    };
}

impl<'a> ser::Serializer for Serializer<'a> {
    type Ok = ();
    type Error = NoForm;
    type SerializeSeq = Elements<'a>;
    type SerializeTuple = Elements<'a>;
    type SerializeTupleStruct = Elements<'a>;
    type SerializeTupleVariant = Elements<'a>;
    type SerializeMap = Elements<'a>;
    type SerializeStruct = Elements<'a>;
    type SerializeStructVariant = Elements<'a>;

    unsigned!(serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64);
    signed!(serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64);

    fn serialize_bool(self, value: bool) -> Result<(), NoForm> {
        self.write(if value { b"true" } else { b"false" })
    }

    fn serialize_f32(self, value: f32) -> Result<(), NoForm> {
        if !value.is_finite() {
            return self.write(b"null");
        }
        write!(self.writer, "{value}").map_err(|_| NoForm)
    }

    fn serialize_f64(self, value: f64) -> Result<(), NoForm> {
        if !value.is_finite() {
            return self.write(b"null");
        }
        write!(self.writer, "{value}").map_err(|_| NoForm)
    }

    fn serialize_char(self, value: char) -> Result<(), NoForm> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<(), NoForm> {
        write_text(self.writer, value);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), NoForm> {
        value.serialize(self)
    }

    fn serialize_none(self) -> Result<(), NoForm> {
        self.write(b"null")
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), NoForm> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), NoForm> {
        self.write(b"null")
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), NoForm> {
        self.write(b"null")
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), NoForm> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), NoForm> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), NoForm> {
        let mut elements = self.open(b"{", b"}");
        elements.member(variant, value)?;
        elements.close()
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Elements<'a>, NoForm> {
        Ok(self.open(b"[", b"]"))
    }

    fn serialize_tuple(self, _: usize) -> Result<Elements<'a>, NoForm> {
        Ok(self.open(b"[", b"]"))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Elements<'a>, NoForm> {
        Ok(self.open(b"[", b"]"))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Elements<'a>, NoForm> {
        Ok(self.open_variant(variant, b"[", b"]}"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Elements<'a>, NoForm> {
        Ok(self.open(b"{", b"}"))
    }

    #[inline]
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Elements<'a>, NoForm> {
        Ok(self.open(b"{", b"}"))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Elements<'a>, NoForm> {
        Ok(self.open_variant(variant, b"{", b"}}"))
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<(), NoForm> {
        self.writer.write(b"\"");
        write!(Escaped(self.writer), "{value}").map_err(|_| NoForm)?;
        self.write(b"\"")
    }
}

/// Escapes what is displayed into it.
struct Escaped<'a>(&'a mut Writer);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '"' | '\\' => {
                    self.0.write(b"\\");
                    self.0.write(&[c as u8]);
                }
                '\0'..' ' => write!(self.0, "\\u{:04x}", c as u32)?,
                _ => self.0.write(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        Ok(())
    }
}

macro_rules! elements {
    ($($trait:ident $method:ident),*) => {
        $(impl ser::$trait for Elements<'_> {
            type Ok = ();
            type Error = NoForm;
            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NoForm> {
                self.element(value)
            }
            #[inline]
            fn end(self) -> Result<(), NoForm> {
                self.close()
            }
        })*
    };
}

elements!(
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field
);

macro_rules! members {
    ($($trait:ident),*) => {
        $(impl ser::$trait for Elements<'_> {
            type Ok = ();
            type Error = NoForm;
            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), NoForm> {
                self.member(key, value)
            }
            #[inline]
            fn end(self) -> Result<(), NoForm> {
                self.close()
            }
        })*
    };
}

members!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for Elements<'_> {
    type Ok = ();
    type Error = NoForm;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), NoForm> {
        self.next();
        key.serialize(Key(self.writer))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NoForm> {
        self.writer.write(b":");
        value.serialize(Serializer { writer: self.writer })
    }

    fn end(self) -> Result<(), NoForm> {
        self.close()
    }
}

/// Writes an object's key: text, or a number in quotes.
struct Key<'a>(&'a mut Writer);

macro_rules! number_keys {
    ($($name:ident: $type:ty),*) => {
        $(fn $name(self, value: $type) -> Result<(), NoForm> {
            self.0.write(b"\"");
            Serializer { writer: self.0 }.$name(value)?;
            self.0.write(b"\"");
            Ok(())
        })*
    };
}

macro_rules! no_keys {
    ($($name:ident($($type:ty),*) $(-> $output:ty)?;)*) => {
        $(fn $name(self, $(_: $type),*) -> Result<no_keys!(@ $($output)?), NoForm> {
            Err(NoForm)
        })*
    };
    (@) => { () };
    (@ $output:ty) => { $output };
}

type No = ser::Impossible<(), NoForm>;

impl ser::Serializer for Key<'_> {
    type Ok = ();
    type Error = NoForm;
    type SerializeSeq = No;
    type SerializeTuple = No;
    type SerializeTupleStruct = No;
    type SerializeTupleVariant = No;
    type SerializeMap = No;
    type SerializeStruct = No;
    type SerializeStructVariant = No;

    number_keys!(
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64
    );

    #[inline]
    fn serialize_str(self, value: &str) -> Result<(), NoForm> {
        write_text(self.0, value);
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), NoForm> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), NoForm> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), NoForm> {
        value.serialize(self)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), NoForm> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), NoForm> {
        Err(NoForm)
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<(), NoForm> {
        Serializer { writer: self.0 }.collect_str(value)
    }

    no_keys! {
        serialize_bool(bool);
        serialize_f32(f32);
        serialize_f64(f64);
        serialize_bytes(&[u8]);
        serialize_none();
        serialize_unit();
        serialize_unit_struct(&'static str);
        serialize_seq(Option<usize>) -> No;
        serialize_tuple(usize) -> No;
        serialize_tuple_struct(&'static str, usize) -> No;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> No;
        serialize_map(Option<usize>) -> No;
        serialize_struct(&'static str, usize) -> No;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> No;
    }
}

impl fmt::Display for NoForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON has no form for this value")
    }
}

impl core::error::Error for NoForm {}

impl ser::Error for NoForm {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_be_escaped_is_found_wherever_it_stands() {
        for length in 0..20 {
            let text = &b"20 bytes and no more"[..length];
            assert!(is_all_plain(text));
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    let mut other = [0; 20];
                    other[..length].copy_from_slice(text);
                    other[at] = byte;
                    let found = !is_all_plain(&other[..length]);
                    assert_eq!(found, !is_plain(byte), "{byte} at {at} of {length}");
                }
            }
        }
    }
}
