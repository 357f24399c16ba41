//! A provider named on the command line.

use std::fmt;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use tillwatch_providers::{Provider, catalogue};

/// One that sends webhooks.
#[derive(Clone, Copy)]
pub(super) struct Known(pub(super) &'static dyn Provider);

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

/// Reads the name of a provider that sends webhooks; help and errors list those there are.
pub(super) fn parser() -> impl TypedValueParser<Value = Known> {
    // The others are known too, so that they hear why they are not taken.
    let value = |entry: catalogue::Entry| PossibleValue::new(entry.name()).hide(entry.sender().is_none());
    PossibleValuesParser::new(catalogue::all().map(value)).try_map(|name| {
        let sender = catalogue::of(&name).and_then(|entry| entry.sender());
        sender.map(Known).ok_or("it sends no webhooks: its connections are only checked")
    })
}
