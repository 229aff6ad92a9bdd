//! JSON read once, strictly, and borrowed from the bytes it was read from.
//!
//! Everything that looks at a request's body looks at the same parsed value:
//! a second reading would cost as much again, and could read something else.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Number, Value};

/// Objects with more members than this are searched through a sorted index, so
/// that neither duplicates nor look-ups cost the square of a hostile body.
const LINEAR_MEMBERS_MAX: usize = 16;

/// A JSON value. Strings without escapes are slices of the input.
#[derive(Clone, Debug, PartialEq)]
pub enum Json<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// Any number, as [`serde_json`] reads it.
    Number(Number),
    /// Text.
    String(Cow<'a, str>),
    /// A list.
    Array(Vec<Json<'a>>),
    /// Members with unique names, in the order in which they came.
    Object(JsonObject<'a>),
}

/// The members of a JSON object; equal in any order.
#[derive(Clone, Debug, Default)]
pub struct JsonObject<'a> {
    members: Vec<(Cow<'a, str>, Json<'a>)>,
    /// Which lengths the names have, a bit for each: most look-ups are for
    /// optional members that are not there.
    lengths: u64,
    /// Places in `members`, sorted by name; empty while there are few.
    index: Box<[u32]>,
}

impl<'a> Json<'a> {
    /// Parses a document, refusing duplicate keys and nesting deeper than `depth_max`.
    ///
    /// A duplicate key is an attack: two readers of one body may see two prices.
    pub fn parse_strict(bytes: &'a [u8], depth_max: usize) -> Result<Self, String> {
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let seed = Strict { depth_left: depth_max };
        let value = seed.deserialize(&mut deserializer).map_err(|e| e.to_string())?;
        deserializer.end().map_err(|e| e.to_string())?;
        Ok(value)
    }

    /// The same as an owned tree.
    pub fn into_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(flag) => Value::Bool(flag),
            Self::Number(number) => Value::Number(number),
            Self::String(text) => Value::String(text.into_owned()),
            Self::Array(items) => items.into_iter().map(Json::into_value).collect(),
            Self::Object(object) => Value::Object(
                object
                    .members
                    .into_iter()
                    .map(|(name, value)| (name.into_owned(), value.into_value()))
                    .collect(),
            ),
        }
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The number, if it is a whole one from 0.
    pub fn as_u64(&self) -> Option<u64> {
        if let Self::Number(number) = self { number.as_u64() } else { None }
    }

    /// The number, if it is one.
    pub fn as_f64(&self) -> Option<f64> {
        if let Self::Number(number) = self { number.as_f64() } else { None }
    }

    /// The elements, if it is a list.
    pub fn as_array(&self) -> Option<&[Json<'a>]> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    /// The members, if it is an object.
    pub fn as_object(&self) -> Option<&JsonObject<'a>> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    /// The member `name`, if it is an object that has it.
    pub fn get(&self, name: &str) -> Option<&Json<'a>> {
        self.as_object()?.get(name)
    }
}

impl<'a> JsonObject<'a> {
    /// The member `name`.
    pub fn get(&self, name: &str) -> Option<&Json<'a>> {
        if self.lengths & length_bit(name) == 0 {
            return None;
        }
        if self.index.is_empty() {
            return self.members.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        }
        let at = self.index.binary_search_by(|at| self.name(*at).cmp(name)).ok()?;
        self.members.get(*self.index.get(at)? as usize).map(|(_, value)| value)
    }

    /// All members, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Json<'a>)> {
        self.members.iter().map(|(name, value)| (name.as_ref(), value))
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    fn name(&self, at: u32) -> &str {
        self.members.get(at as usize).map_or("", |(name, _)| name)
    }

    fn push(&mut self, name: Cow<'a, str>, value: Json<'a>) {
        if self.members.is_empty() {
            self.members.reserve(LINEAR_MEMBERS_MAX / 2);
        }
        self.lengths |= length_bit(&name);
        self.members.push((name, value));
    }

    /// Whether a name is there already; in a large object only [`Self::index`] sees it.
    fn has(&self, name: &str) -> bool {
        self.lengths & length_bit(name) != 0
            && self.members.len() <= LINEAR_MEMBERS_MAX
            && self.members.iter().any(|(known, _)| known == name)
    }

    /// Sorts a large object's names; a name that stands twice is the error.
    fn index(&mut self) -> Result<(), String> {
        if self.members.len() <= LINEAR_MEMBERS_MAX {
            return Ok(());
        }
        let count = u32::try_from(self.members.len()).map_err(|_| "too many members".to_owned())?;
        let mut index: Box<[u32]> = (0..count).collect();
        index.sort_unstable_by(|a, b| self.name(*a).cmp(self.name(*b)));
        let same = |pair: &&[u32]| matches!(pair, [a, b] if self.name(*a) == self.name(*b));
        if let Some([twice, ..]) = index.windows(2).find(same) {
            return Err(stands_twice(self.name(*twice)));
        }
        self.index = index;
        Ok(())
    }
}

fn length_bit(name: &str) -> u64 {
    1 << name.len().min(63)
}

fn stands_twice(name: &str) -> String {
    format!("key {name:?} stands twice")
}

impl PartialEq for JsonObject<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(name, value)| other.get(name) == Some(value))
    }
}

/// Compact JSON, as [`serde_json::Value`] is shown.
impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(flag) => serializer.serialize_bool(*flag),
            Self::Number(number) => number.serialize(serializer),
            Self::String(text) => serializer.serialize_str(text),
            Self::Array(items) => items.serialize(serializer),
            Self::Object(object) => object.serialize(serializer),
        }
    }
}

impl Serialize for JsonObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[derive(Clone, Copy)]
struct Strict {
    depth_left: usize,
}

impl Strict {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth_left = self.depth_left.checked_sub(1).ok_or_else(|| E::custom("nested too deeply"))?;
        Ok(Self { depth_left })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number(v.into()))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Json<'de>, E> {
        Ok(Json::Number(v.into()))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Json<'de>, E> {
        Ok(Number::from_f64(v).map_or(Json::Null, Json::Number))
    }

    fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::String(Cow::Borrowed(v)))
    }

    fn visit_str<E>(self, v: &str) -> Result<Json<'de>, E> {
        Ok(Json::String(Cow::Owned(v.to_owned())))
    }

    fn visit_string<E>(self, v: String) -> Result<Json<'de>, E> {
        Ok(Json::String(Cow::Owned(v)))
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_none<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json<'de>, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json<'de>, A::Error> {
        let inner = self.deeper()?;
        let mut object = JsonObject::default();
        while let Some(name) = map.next_key_seed(Name)? {
            if object.has(&name) {
                return Err(A::Error::custom(stands_twice(&name)));
            }
            let value = map.next_value_seed(inner)?;
            object.push(name, value);
        }
        object.index().map_err(A::Error::custom)?;
        Ok(Json::Object(object))
    }
}

/// A member's name.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(v))
    }

    fn visit_str<E>(self, v: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(v.to_owned()))
    }

    fn visit_string<E>(self, v: String) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(v))
    }
}

#[cfg(test)]
mod tests;
