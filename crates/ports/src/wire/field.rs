//! How one field is written: names as text, numbers within 53 bits, containers of such.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use domain::id::{
    Attempt, CallNumber, ContainerId, GpuType, History, INTEGER_MAX, Incarnation, MachineName, PlannerId, PoolName,
    Revision, Runtime, Stamp, Term, WorkerId, WorkerKey, Workspace,
};
use domain::request::{Digest, OrderKey, Shape};
use domain::time::Timestamp;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value of the domain that has a form.
pub(super) trait Field: Sized {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error>;
    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error>;
}

/// Lets serde see the form of a value: of `&T` to write it, of `T` to read it.
pub(super) struct Form<T>(pub(super) T);

impl<T: Field> Serialize for Form<&T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.write(to)
    }
}

impl<'de, T: Field> Deserialize<'de> for Form<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        T::read(from).map(Form)
    }
}

/// For `#[serde(with = "field")]`.
pub(super) fn serialize<T: Field, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    value.write(to)
}

/// For `#[serde(with = "field")]`.
pub(super) fn deserialize<'de, T: Field, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    T::read(from)
}

/// Gives domain types the form that a `#[serde(remote)]` twin describes.
macro_rules! forms {
    ($($twin:ident for $kind:ty)*) => {$(
        impl crate::wire::field::Field for $kind {
            fn write<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                $twin::serialize(self, to)
            }

            fn read<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                $twin::deserialize(from)
            }
        }
    )*};
}
pub(super) use forms;

/// Reads text without keeping a copy of it.
fn read_text<'de, D, T>(from: D, accept: impl FnOnce(&str) -> Result<T, String>) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
{
    struct Text<F>(F);

    impl<T, F: FnOnce(&str) -> Result<T, String>> Visitor<'_> for Text<F> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("text")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            self.0(text).map_err(E::custom)
        }
    }

    from.deserialize_str(Text(accept))
}

macro_rules! names {
    ($($name:ident)*) => {$(
        impl Field for $name {
            fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.as_str())
            }

            fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                read_text(from, |text| $name::new(text).map_err(|bad| bad.to_string()))
            }
        }
    )*};
}

names! { ContainerId GpuType MachineName PlannerId PoolName Runtime WorkerId WorkerKey Workspace }

impl Field for Arc<str> {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self)
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        read_text(from, |text| Ok(text.into()))
    }
}

impl Field for Shape {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        read_text(from, |text| Ok(Shape::from_text(text)))
    }
}

impl Field for Digest {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{:032x}", self.0))
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        read_text(from, |text| match u128::from_str_radix(text, 16) {
            Ok(digest) if text.len() == 32 => Ok(Digest(digest)),
            _ => Err(format!("{text:?} is no digest")),
        })
    }
}

impl Field for u64 {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if *self > INTEGER_MAX {
            return Err(S::Error::custom(format_args!("{self} is beyond 53 bits")));
        }
        to.serialize_u64(*self)
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(from)?;
        if number > INTEGER_MAX {
            return Err(D::Error::custom(format_args!("{number} is beyond 53 bits")));
        }
        Ok(number)
    }
}

impl Field for i64 {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.unsigned_abs() > INTEGER_MAX {
            return Err(S::Error::custom(format_args!("{self} is beyond 53 bits")));
        }
        to.serialize_i64(*self)
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(from)?;
        if number.unsigned_abs() > INTEGER_MAX {
            return Err(D::Error::custom(format_args!("{number} is beyond 53 bits")));
        }
        Ok(number)
    }
}

macro_rules! numbers {
    ($($name:ident)*) => {$(
        impl Field for $name {
            fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                self.0.write(to)
            }

            fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                u64::read(from).map($name)
            }
        }
    )*};
}

numbers! { Attempt CallNumber Incarnation Revision Stamp Term Timestamp }

impl Field for History {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.get().write(to)
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        u64::read(from).map(History::from_random)
    }
}

/// Seconds and nanoseconds: what was given is what comes back, to the last bit.
impl Field for Duration {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        (Form(&self.as_secs()), self.subsec_nanos()).serialize(to)
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match <(Form<u64>, u32)>::deserialize(from)? {
            (Form(seconds), nanos @ 0..=999_999_999) => Ok(Duration::new(seconds, nanos)),
            (_, nanos) => Err(D::Error::custom(format_args!("{nanos} nanoseconds are a second or more"))),
        }
    }
}

/// Rank, revision, position.
impl Field for OrderKey {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        (Form(&self.rank), Form(&self.revision), self.position).serialize(to)
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let (Form(rank), Form(revision), position) = Deserialize::deserialize(from)?;
        Ok(Self { rank, revision, position })
    }
}

impl<T: Field> Field for Option<T> {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.as_ref().map(Form).serialize(to)
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Option::<Form<T>>::deserialize(from)?.map(|form| form.0))
    }
}

impl<T: Field> Field for Arc<T> {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        T::write(self, to)
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        T::read(from).map(Arc::new)
    }
}

impl<T: Field> Field for Vec<T> {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter().map(Form))
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Vec::<Form<T>>::deserialize(from)?.into_iter().map(|form| form.0).collect())
    }
}

impl<const N: usize> Field for [u64; N] {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter().map(Form))
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let numbers = Vec::<u64>::read(from)?;
        let count = numbers.len();
        numbers.try_into().map_err(|_| D::Error::custom(format_args!("{count} numbers instead of {N}")))
    }
}

impl<K: Field + Ord, V: Field> Field for BTreeMap<K, V> {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.iter().map(|(key, value)| (Form(key), Form(value))))
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Entries<K, V>(PhantomData<(K, V)>);

        impl<'de, K: Field + Ord, V: Field> Visitor<'de> for Entries<K, V> {
            type Value = BTreeMap<K, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
                let mut map = BTreeMap::new();
                while let Some((Form(key), Form(value))) = from.next_entry()? {
                    map.insert(key, value);
                }
                Ok(map)
            }
        }

        from.deserialize_map(Entries(PhantomData))
    }
}
