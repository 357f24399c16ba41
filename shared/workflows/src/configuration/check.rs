//! Whether a configuration can be meant: everything that can be told of it without asking anyone.
//!
//! Works on a whole configuration and on a part of one alike: a location alone is one whose list has one entry.

use std::collections::{BTreeMap, BTreeSet};

use tillwatch_domain::connection::is_id;
use tillwatch_domain::location::{Configuration, Location};

use super::mistake::{Mistake, Part, Path, Segment, Severity};
use super::names::did_you_mean;
use super::{connections, hours, place};

/// What an id may be.
pub(super) const ID: &str =
    "An id has up to 64 lower-case letters, digits and hyphens, and no hyphen at its ends";

/// How a configuration was written, which what it says does not tell.
#[derive(Debug, Default)]
pub struct Written {
    /// The environment variables that values are made of, by the value's path.
    pub variables: BTreeMap<Path, Vec<String>>,
    /// Values that stand in for ones that are not known, such as those of variables that were not read. They are
    /// compared with each other, and what they look like is not checked.
    pub unknown: BTreeSet<Path>,
}

/// Every mistake of a configuration.
pub fn check(configuration: &Configuration) -> Vec<Mistake> {
    check_as_written(configuration, &Written::default())
}

/// The same, knowing how it was written.
pub fn check_as_written(configuration: &Configuration, written: &Written) -> Vec<Mistake> {
    let mut mistakes = Mistakes { written, found: Vec::new() };
    businesses(configuration, &mut mistakes);
    connections::defaults(configuration, &mut mistakes);
    let mut known = BTreeMap::new();
    for (index, location) in configuration.locations.iter().enumerate() {
        let path = Path::default().to("locations").at(index);
        id(location, &path, &mut known, &mut mistakes);
        business(&location.business, &path, configuration, &mut mistakes);
        place::check(location, &path, &mut mistakes);
        if let Some(opening_hours) = &location.opening_hours {
            hours::check(opening_hours, &path.to("opening_hours"), &mut mistakes);
        }
    }
    for (index, connection) in configuration.connections.iter().enumerate() {
        let path = Path::default().to("connections").at(index);
        business(&connection.business, &path, configuration, &mut mistakes);
    }
    connections::check(configuration, &mut mistakes);
    variables(configuration, &mut mistakes);
    mistakes.found
}

/// The mistakes found so far.
pub(super) struct Mistakes<'a> {
    written: &'a Written,
    found: Vec<Mistake>,
}

impl Mistakes<'_> {
    pub(super) fn add(&mut self, mistake: Mistake) {
        self.found.push(mistake);
    }

    /// Adds a mistake in what a value looks like, unless the value only stands in for one.
    pub(super) fn add_of_value(&mut self, mistake: Mistake) {
        if self.is_known(&mistake.path) {
            self.found.push(mistake);
        }
    }

    /// Whether there are more than anybody reads. What was meant by each is no longer looked for then: that takes the most
    /// time of all.
    pub(super) fn are_many(&self) -> bool {
        self.found.len() > 1_000
    }

    /// Whether a value is known, and doesn't only stand in for one.
    pub(super) fn is_known(&self, path: &Path) -> bool {
        !self.written.unknown.contains(path)
    }
}

fn businesses(configuration: &Configuration, mistakes: &mut Mistakes<'_>) {
    for name in configuration.businesses.keys().filter(|name| !is_id(name)) {
        let path = Path::default().to("businesses").to(name);
        let wrong = format!("\"{name}\" can't be the id of a business");
        mistakes.add(Mistake::error(&path, wrong).of_name().meaning(ID.to_owned()));
    }
}

fn id<'a>(
    location: &'a Location,
    path: &Path,
    known: &mut BTreeMap<&'a str, Path>,
    mistakes: &mut Mistakes<'_>,
) {
    let id = location.id.as_str();
    if id.trim().is_empty() {
        let meant = "Say \"id\": a short name that never changes".to_owned();
        return mistakes.add(Mistake::error(path, "a location has no id").of_name().meaning(meant));
    }
    let at = path.to("id");
    if !is_id(id) {
        let wrong = format!("\"{id}\" can't be the id of a location");
        mistakes.add_of_value(Mistake::error(&at, wrong).meaning(ID.to_owned()));
    }
    match known.get(id) {
        Some(other) => {
            let wrong = format!("there are two locations with the id \"{id}\"");
            mistakes.add(Mistake::error(&at, wrong).beside(other));
        }
        None => drop(known.insert(id, at)),
    }
}

fn business(business: &str, path: &Path, configuration: &Configuration, mistakes: &mut Mistakes<'_>) {
    let at = path.to("business");
    if business.trim().is_empty() {
        let what = if matches!(path.segments(), [Segment::Name(list), _] if list == "locations") {
            "location"
        } else {
            "connection"
        };
        let wrong = format!("it is not said which business this {what} belongs to");
        let mistake = Mistake::error(path, wrong).of_name();
        mistakes.add(mistake.meaning("Say \"business\" with the business's id".to_owned()));
    } else if !is_id(business) {
        let wrong = format!("\"{business}\" can't be the id of a business");
        mistakes.add_of_value(Mistake::error(&at, wrong).meaning(ID.to_owned()));
    } else if !configuration.businesses.is_empty() && !configuration.businesses.contains_key(business) {
        let known = configuration.businesses.keys().map(String::as_str);
        let meant = did_you_mean(business, known);
        let wrong = format!("there is no business \"{business}\" under \"businesses\"");
        mistakes.add_of_value(Mistake::error(&at, wrong).meaning(meant));
    }
}

/// The names of variables tell whose value they hold, so that one location's is not put into another's by accident.
fn variables(configuration: &Configuration, mistakes: &mut Mistakes<'_>) {
    for (path, names) in &mistakes.written.variables {
        let [Segment::Name(list), Segment::Index(index), ..] = path.segments() else { continue };
        let location = configuration.locations.get(*index).filter(|_| list == "locations");
        let Some(id) = location.map(|location| &location.id).filter(|id| is_id(id)) else { continue };
        let ending = format!("_{}", id.to_uppercase().replace('-', "_"));
        for name in names.iter().filter(|name| !name.ends_with(&ending)) {
            mistakes.found.push(Mistake {
                severity: Severity::Warning,
                path: path.clone(),
                part: Part::Value,
                wrong: format!("the variable {name} does not end in {ending}, as those of \"{id}\" should"),
                meant: Some("Another location's value would not be noticed here".to_owned()),
                other: None,
            });
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The mistakes of a configuration, each with its path.
    pub(in super::super) fn mistakes(configuration: Value) -> Vec<String> {
        let configuration: Configuration = serde_json::from_value(configuration).unwrap();
        check(&configuration).iter().map(|mistake| format!("{}: {mistake}", mistake.path)).collect()
    }

    /// A configuration of one location with these fields.
    pub(in super::super) fn location(fields: &Value) -> Value {
        let mut location = json!({"id": "harbour", "business": "cafe"});
        for (name, value) in fields.as_object().unwrap() {
            location[name] = value.clone();
        }
        json!({"locations": [location]})
    }

    #[test]
    fn a_location_with_an_id_and_a_business_is_enough() {
        assert_eq!(mistakes(location(&json!({}))), Vec::<String>::new());
        assert_eq!(mistakes(json!({})), Vec::<String>::new());
    }

    #[test]
    fn ids_are_there_and_valid_and_no_two_locations_have_one() {
        assert_eq!(
            mistakes(json!({"locations": [
                {"id": "hill", "business": "cafe"},
                {"business": "cafe"},
                {"id": "Hill Top", "business": "cafe"},
                {"id": "hill", "business": "cafe"},
            ], "businesses": {"cafe": {}, "Café": {}}})),
            [
                format!("businesses.Café: \"Café\" can't be the id of a business. {ID}"),
                "locations[1]: a location has no id. Say \"id\": a short name that never changes".to_owned(),
                format!("locations[2].id: \"Hill Top\" can't be the id of a location. {ID}"),
                "locations[3].id: there are two locations with the id \"hill\"".to_owned(),
            ]
        );
    }

    #[test]
    fn a_business_must_be_declared_once_any_is() {
        assert_eq!(mistakes(location(&json!({"business": "anything"}))), Vec::<String>::new());
        let mut configuration = location(&json!({"business": "caffe"}));
        configuration["businesses"] = json!({"cafe": {}});
        assert_eq!(
            mistakes(configuration),
            [
                "locations[0].business: there is no business \"caffe\" under \"businesses\". Did you mean \"cafe\"?"
            ]
        );
        assert_eq!(
            mistakes(location(&json!({"business": " "}))),
            [
                "locations[0]: it is not said which business this location belongs to. Say \"business\" with the \
              business's id"
            ]
        );
    }

    #[test]
    fn a_variable_ends_in_the_id_of_the_location_that_it_is_used_at() {
        let mut configuration = Configuration::default();
        configuration.locations.push(Location {
            id: "hill-top".into(),
            business: "cafe".into(),
            ..Location::default()
        });
        let mut written = Written::default();
        let location = Path::default().to("locations").at(0);
        written.variables.insert(location.to("phone"), vec!["PHONE_HILL_TOP".into()]);
        written.variables.insert(location.to("whatsapp"), vec!["PHONE_HILL".into()]);
        written
            .variables
            .insert(Path::default().to("providers").to("square").to("environment"), vec!["X".into()]);
        let mistakes = check_as_written(&configuration, &written);
        let [mistake] = mistakes.as_slice() else { panic!("{mistakes:?}") };
        assert_eq!((mistake.severity, &mistake.path), (Severity::Warning, &location.to("whatsapp")));
        assert!(mistake.wrong.starts_with("the variable PHONE_HILL does not end in _HILL_TOP"), "{mistake}");
    }

    #[test]
    fn what_a_value_looks_like_is_not_checked_while_it_is_not_known() {
        let configuration: Configuration =
            serde_json::from_value(location(&json!({"timezone": "{{ env `TZ_HARBOUR` }}"}))).unwrap();
        assert_eq!(check(&configuration).len(), 1);
        let mut written = Written::default();
        written.unknown.insert(Path::default().to("locations").at(0).to("timezone"));
        assert_eq!(check_as_written(&configuration, &written), []);
    }
}
