//! A provider named on the command line.

use std::fmt;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use tillwatch_providers::{ALL, Provider, named};

/// One of [`ALL`].
#[derive(Clone, Copy)]
pub(super) struct Known(pub(super) &'static dyn Provider);

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

/// Reads a provider's name; help and errors list those there are.
pub(super) fn parser() -> impl TypedValueParser<Value = Known> {
    let names = ALL.iter().map(|provider| provider.name());
    PossibleValuesParser::new(names).try_map(|name| named(&name).map(Known).ok_or("no such provider"))
}
