//! What a hook is told of an operation.

use super::list::*;

macro_rules! is_write {
    (reads) => {
        false
    };
    (writes) => {
        true
    };
}

macro_rules! calls {
    ($($(#[$doc:meta])* trait $group:ident {
        $($variant:ident $kind:ident $name:ident($($argument:ident: $type:ty),* $(,)?) -> $answer:ty;)*
    })*) => {
        /// The name of an operation of a store.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Operation {
            $($(
                #[doc = concat!("[`Ledger::", stringify!($name), "`](crate::Ledger::", stringify!($name), ").")]
                $variant,
            )*)*
        }

        impl Operation {
            /// Every operation.
            pub const ALL: &'static [Self] = &[$($(Self::$variant,)*)*];

            /// The name of its method.
            pub const fn name(self) -> &'static str {
                match self { $($(Self::$variant => stringify!($name),)*)* }
            }

            /// Whether it may change rows, so that its answer comes after a commit.
            pub const fn writes(self) -> bool {
                match self { $($(Self::$variant => is_write!($kind),)*)* }
            }
        }

        /// An operation about to happen, with its arguments: a hook may change them.
        pub enum Call<'call, 'a> {
            $($(
                #[doc = concat!("[`Ledger::", stringify!($name), "`](crate::Ledger::", stringify!($name), ").")]
                $variant {
                    $(
                        #[doc = concat!("`", stringify!($argument), "` of the method.")]
                        $argument: &'call mut $type,
                    )*
                },
            )*)*
        }

        impl Call<'_, '_> {
            /// Which operation it is.
            pub const fn operation(&self) -> Operation {
                match self { $($(Self::$variant { .. } => Operation::$variant,)*)* }
            }
        }
    };
}

operations!(calls);
