//! What a file says of one location.

use tillwatch_domain::location::{Contact, HoursMode, Location, OpeningHours, Scalar, Span, Weekday};
use tillwatch_workflows::configuration::Path;

use super::super::tree::{Node, What};
use super::{Field, Reader};

const LOCATION: &[&str] = &[
    "id",
    "business",
    "name",
    "address",
    "city",
    "region",
    "subcategories",
    "latitude",
    "longitude",
    "timezone",
    "phone",
    "whatsapp",
    "contact",
    "ordering_tables",
    "delivery_links",
    "opening_hours",
    "options",
    "providers",
];
const CONTACT: &[&str] = &["name", "email", "phone"];
const HOURS: &[&str] =
    &["mode", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "exceptions"];
const SPAN: &[&str] = &["open", "close"];

impl Reader<'_> {
    pub(super) fn location(&mut self, node: &Node, path: &Path) -> Location {
        let mut location = Location::default();
        if !self.is_map(node, path, "a map, with at least \"id\" and \"business\"") {
            location.id = self.stand_in(&path.to("id"));
            location.business = self.stand_in(&path.to("business"));
            return location;
        }
        for Field { name, value, path } in self.fields(node, path, LOCATION) {
            let path = &path;
            match name {
                "id" => location.id = self.text(value, path).unwrap_or_default(),
                "business" => location.business = self.text(value, path).unwrap_or_default(),
                "name" => location.name = self.text(value, path),
                "address" => location.address = self.text(value, path),
                "city" => location.city = self.text(value, path),
                "region" => location.region = self.text(value, path),
                "subcategories" => location.subcategories = self.texts(value, path),
                "latitude" => location.latitude = self.text(value, path).map(Scalar),
                "longitude" => location.longitude = self.text(value, path).map(Scalar),
                "timezone" => location.timezone = self.text(value, path),
                "phone" => location.phone = self.text(value, path),
                "whatsapp" => location.whatsapp = self.text(value, path),
                "contact" => location.contact = Some(self.contact(value, path)),
                "ordering_tables" => {
                    location.ordering_tables = self.texts(value, path).into_iter().map(Scalar).collect();
                }
                "delivery_links" => location.delivery_links = self.map(value, path, Self::text),
                "opening_hours" => location.opening_hours = self.opening_hours(value, path),
                "options" => location.options = self.map(value, path, Self::scalar),
                _ => location.providers = self.map(value, path, Self::connection),
            }
        }
        location
    }

    fn texts(&mut self, node: &Node, path: &Path) -> Vec<String> {
        self.list(node, path, Self::text).into_iter().flatten().collect()
    }

    fn scalar(&mut self, node: &Node, path: &Path) -> Option<Scalar> {
        self.text(node, path).map(Scalar)
    }

    fn contact(&mut self, node: &Node, path: &Path) -> Contact {
        let mut contact = Contact::default();
        for Field { name, value, path } in self.fields(node, path, CONTACT) {
            match name {
                "name" => contact.name = self.text(value, &path),
                "email" => contact.email = self.text(value, &path),
                _ => contact.phone = self.text(value, &path),
            }
        }
        contact
    }

    fn opening_hours(&mut self, node: &Node, path: &Path) -> Option<OpeningHours> {
        if matches!(node.what, What::Nothing) {
            return None;
        }
        let mut hours = OpeningHours::default();
        for Field { name, value, path } in self.capital_fields(node, path, HOURS) {
            match name {
                "mode" => {
                    let all = HoursMode::ALL.map(|mode| (mode.name(), mode));
                    hours.mode = self.choice(value, &path, &all).unwrap_or_default();
                }
                "exceptions" => {
                    hours.exceptions = self
                        .map(value, &path, |reader, node, path| Some(reader.list(node, path, Self::span)));
                }
                _ => {
                    let day = Weekday::ALL.into_iter().find(|day| day.name().eq_ignore_ascii_case(name));
                    let spans = self.list(value, &path, Self::span);
                    hours.days.extend(day.map(|day| (day, spans)));
                }
            }
        }
        Some(hours)
    }

    fn span(&mut self, node: &Node, path: &Path) -> Span {
        let mut span = Span { open: String::new(), close: String::new() };
        if !self.is_map(node, path, "a map such as {open: \"09:00\", close: \"17:00\"}") {
            span.open = self.stand_in(&path.to("open"));
            span.close = self.stand_in(&path.to("close"));
            return span;
        }
        for Field { name, value, path } in self.capital_fields(node, path, SPAN) {
            let time = self.text(value, &path).unwrap_or_default();
            match name {
                "open" => span.open = time,
                _ => span.close = time,
            }
        }
        span
    }

    /// The same as [`Reader::fields`] for names that may begin with a capital, as older files have them. They are given
    /// as they are known.
    fn capital_fields<'n>(&mut self, node: &'n Node, path: &Path, known: &[&'static str]) -> Vec<Field<'n>> {
        let mut seen = Vec::new();
        let mut fields = self.any_fields(node, path).unwrap_or_default();
        fields.retain_mut(|field| {
            let small = known.iter().find(|known| is_capital_of(field.name, known) || field.name == **known);
            let Some(small) = small else {
                self.unknown(field.name, &field.path, known);
                return false;
            };
            if seen.contains(small) {
                self.twice(field.name, &field.path);
                return false;
            }
            seen.push(small);
            *field = Field { name: small, value: field.value, path: path.to(small) };
            true
        });
        fields
    }
}

/// Whether a name is a known one with its first letter a capital.
pub(in super::super) fn is_capital_of(name: &str, known: &str) -> bool {
    let mut letters = name.chars();
    let first = letters.next();
    first.is_some_and(|first| first.is_ascii_uppercase() && known.starts_with(first.to_ascii_lowercase()))
        && known.get(1..) == Some(letters.as_str())
}
