//! The names an operator gives: of a cache, of a resolver.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A name given by the operator: short, and of letters, digits, `-`, `_` and `.` only (checked by `config`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CacheName(Arc<str>);

/// The name of a resolver; `system` is what the machine itself would ask.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResolverName(Arc<str>);

macro_rules! name {
    ($name:ident) => {
        impl $name {
            /// Takes the text as the name.
            #[must_use]
            pub fn new(text: &str) -> Self {
                Self(text.into())
            }

            /// The name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok(Self::new(&String::deserialize(deserializer)?))
            }
        }
    };
}

name!(CacheName);
name!(ResolverName);

impl CacheName {
    /// Whether a name may have this letter: one that means nothing to a shell, an address or a label.
    #[must_use]
    pub fn admits(letter: char) -> bool {
        letter.is_ascii_alphanumeric() || ".-_".contains(letter)
    }

    /// Stands where a finding is about this machine and no cache; no cache can have it.
    pub const MACHINE: &'static str = "";
}

impl ResolverName {
    /// The name of the resolver that always exists.
    pub const SYSTEM: &'static str = "system";
}
