//! What is said of connections, held against what their providers' modules know of them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tillwatch_domain::connection::{Role, State, is_id};
use tillwatch_domain::location::{Configuration, ConnectionSettings, Location, Scalar};
use tillwatch_providers::Setting;
use tillwatch_providers::catalogue::{self, Entry, SettingKind};
use tillwatch_providers::settings::SHORTEST_URL_KEY;

use super::check::{ID, Mistakes};
use super::mistake::{Mistake, Path};
use super::names::{did_you_mean, nearest};
use super::place::is_blank;
use super::store::is_secret;

/// What may be said of a connection beside settings.
const CORE: [&str; 3] = ["id", "state", "role"];
/// A connection, and where it is said.
struct Found<'a> {
    path: Path,
    owner: &'a str,
    /// The location's place in the list, if it is one's.
    location: Option<usize>,
    provider: Entry,
    id: String,
    said: &'a ConnectionSettings,
    defaults: Option<&'a BTreeMap<String, Scalar>>,
}

/// Checks the settings that hold for all connections to a provider.
pub(super) fn defaults(configuration: &Configuration, mistakes: &mut Mistakes<'_>) {
    for (name, said) in &configuration.providers {
        let path = Path::default().to("providers").to(name);
        match catalogue::of(name) {
            Some(provider) => {
                settings(provider, said, &[], &path, mistakes);
                for name in said.keys().filter(|name| is_secret(provider, name)) {
                    let wrong = format!("\"{name}\" is a secret, and can't be the same for all connections");
                    let meant =
                        "Say it of each connection, or put it into the provider's own secret".to_owned();
                    mistakes.add(Mistake::error(&path.to(name), wrong).of_name().meaning(meant));
                }
            }
            None => mistakes.add(unknown_provider(name, &path).of_name()),
        }
    }
}

/// Checks every connection, by itself and beside the others.
pub(super) fn check(configuration: &Configuration, mistakes: &mut Mistakes<'_>) {
    let found = find(configuration, mistakes);
    for connection in &found {
        id(connection, mistakes);
        let path = &connection.path;
        let meant = settings(connection.provider, &connection.said.settings, &CORE, path, mistakes);
        required(connection, &meant, mistakes);
    }
    ids_differ(&found, configuration, mistakes);
    claims_differ(&found, mistakes);
    secrets_differ(&found, mistakes);
    for (index, location) in configuration.locations.iter().enumerate() {
        roles(location, &Path::default().to("locations").at(index), mistakes);
    }
}

fn unknown_provider(name: &str, path: &Path) -> Mistake {
    let meant = did_you_mean(name, catalogue::all().map(|provider| provider.name()));
    Mistake::error(path, format!("unknown provider \"{name}\"")).meaning(meant)
}

/// The connections to providers that there are.
fn find<'a>(configuration: &'a Configuration, mistakes: &mut Mistakes<'_>) -> Vec<Found<'a>> {
    let mut found = Vec::new();
    let make = |path, owner: &'a str, location, provider: Entry, said: &'a ConnectionSettings| {
        let given = said.id.clone().filter(|id| !is_blank(id));
        let id = given.unwrap_or_else(|| Location::connection_id(owner, provider.name()));
        let defaults = configuration.providers.get(provider.name());
        Found { path, owner, location, provider, id, said, defaults }
    };
    for (index, location) in configuration.locations.iter().enumerate() {
        let providers = Path::default().to("locations").at(index).to("providers");
        for (name, said) in &location.providers {
            let path = providers.to(name);
            match catalogue::of(name) {
                Some(provider) => found.push(make(path, &location.id, Some(index), provider, said)),
                None => mistakes.add(unknown_provider(name, &path).of_name()),
            }
        }
    }
    for (index, connection) in configuration.connections.iter().enumerate() {
        let path = Path::default().to("connections").at(index);
        let name = connection.provider.as_str();
        if is_blank(name) {
            let mistake = Mistake::error(&path, "it is not said which provider this connection is to");
            mistakes.add(mistake.of_name().meaning("Say \"provider\" with its name".to_owned()));
            continue;
        }
        match catalogue::of(name) {
            Some(provider) => {
                found.push(make(path, &connection.business, None, provider, &connection.connection));
            }
            None => mistakes.add_of_value(unknown_provider(name, &path.to("provider"))),
        }
    }
    found
}

fn id(connection: &Found<'_>, mistakes: &mut Mistakes<'_>) {
    let id = connection.id.as_str();
    let given = connection.said.id.as_deref() == Some(id);
    let mistake = |wrong: String| connection.mistake(given.then(|| connection.path.to("id")), wrong);
    // Where the id is made of another that is wrong, that one is complained of.
    if !is_id(id) && (given || is_id(connection.owner)) {
        let mistake = mistake(format!("\"{id}\" can't be the id of a connection"));
        let meant = if given { ID.to_owned() } else { format!("{ID}. Give this connection an \"id\"") };
        mistakes.add_of_value(mistake.meaning(meant));
    }
    if connection.provider.sender().is_some_and(|sender| sender.paths().contains(&id)) {
        let provider = connection.provider.name();
        let wrong = format!(
            "a connection to {provider} can't have the id \"{id}\": its webhooks' URLs use that word"
        );
        mistakes.add_of_value(mistake(wrong).meaning("Give it another \"id\"".to_owned()));
    }
}

/// Checks settings one by one. Gives the known names that unknown ones were probably meant for.
fn settings(
    provider: Entry,
    said: &BTreeMap<String, Scalar>,
    core: &[&'static str],
    path: &Path,
    mistakes: &mut Mistakes<'_>,
) -> BTreeSet<&'static str> {
    let known: Vec<_> = provider.settings().map(|setting| setting.name).collect();
    let names = || known.iter().copied().chain(core.iter().copied());
    let mut meant = BTreeSet::new();
    for (name, Scalar(value)) in said {
        let at = path.to(name);
        match provider.setting(name) {
            Some(setting) if !is_blank(value) => {
                if let Some((wrong, meant)) = misfit(setting, value) {
                    mistakes.add_of_value(Mistake::error(&at, wrong).meaning(meant));
                }
            }
            Some(_) => {}
            None => {
                let mistake =
                    Mistake::error(&at, format!("unknown setting \"{name}\" of {}", provider.name()))
                        .of_name();
                if mistakes.are_many() {
                    mistakes.add(mistake);
                    continue;
                }
                meant.extend(nearest(name, names()));
                mistakes.add(mistake.meaning(did_you_mean(name, names())));
            }
        }
    }
    meant
}

/// Why a value is not of its setting's kind, and what would be. Quotes nothing that might be secret.
fn misfit(setting: &Setting, value: &str) -> Option<(String, Option<String>)> {
    let name = setting.name;
    let (fits, should, meant) = match setting.kind {
        SettingKind::Text | SettingKind::Secret | SettingKind::SigningKey => return None,
        SettingKind::Url => (is_secure_url(value), "be an https:// address", None),
        SettingKind::Number => (is_number(value), "be a whole number", None),
        SettingKind::Time => {
            let meant = "Say `2027-02-28T00:00:00Z`, with the zone or `Z` at its end".to_owned();
            (value.trim().parse::<Timestamp>().is_ok(), "be a time in RFC 3339", Some(meant))
        }
        SettingKind::Flag => match value {
            "true" | "false" => return None,
            _ => {
                let meant = match value.to_lowercase().as_str() {
                    "yes" | "on" | "1" => Some("Say true".to_owned()),
                    "no" | "off" | "0" => Some("Say false".to_owned()),
                    _ => None,
                };
                (false, "be true or false", meant)
            }
        },
        SettingKind::UrlKey => {
            let meant = "It stands in a URL that anyone can call: `openssl rand -hex 32` makes a good one";
            (value.len() >= SHORTEST_URL_KEY, "have 16 characters or more", Some(meant.to_owned()))
        }
    };
    (!fits).then(|| (format!("\"{name}\" must {should}"), meant))
}

/// Whether what is sent there is seen by nobody on the way. To this machine itself there is no way.
fn is_secure_url(text: &str) -> bool {
    let text = text.trim();
    let is_here = |rest: &&str| {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let name = host.rsplit_once(':').filter(|(_, port)| is_number(port)).map_or(host, |(name, _)| name);
        ["localhost", "127.0.0.1", "[::1]"].contains(&name)
    };
    let here = text.strip_prefix("http://").filter(is_here);
    let Some(rest) = text.strip_prefix("https://").or(here) else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    !host.is_empty() && !host.starts_with(':') && !rest.contains(char::is_whitespace) && !host.contains('@')
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<i64>().is_ok()
}

impl<'a> Found<'a> {
    /// The value of a setting: its own, else the one for all connections to its provider; with its path if it is its own.
    fn value(&self, name: &str) -> Option<(&'a str, Option<Path>)> {
        let of = |settings: &'a BTreeMap<String, Scalar>| {
            settings.get(name).map(|scalar| scalar.0.trim()).filter(|value| !is_blank(value))
        };
        match of(&self.said.settings) {
            Some(value) => Some((value, Some(self.path.to(name)))),
            None => self.defaults.and_then(of).map(|value| (value, None)),
        }
    }

    /// The accounts that it is found by, each with the setting's name and its path. An empty one is our own: where the
    /// account may be left out, that is whose it is then.
    fn accounts(&self) -> Vec<(&'static str, &'a str, Option<Path>)> {
        let about = self.provider.about();
        let value = |name: &&'static str| self.value(name).map(|(value, at)| (*name, value, at));
        let given: Vec<_> = about.accounts.iter().filter_map(value).collect();
        let is_required = |name: &str| self.provider.setting(name).is_some_and(|setting| setting.required);
        match about.accounts {
            [name, ..] if given.is_empty() && !is_required(name) && self.provider.finds_unnamed() => {
                vec![(name, "", None)]
            }
            _ => given,
        }
    }

    /// Where a mistake in a setting of that path is shown.
    fn mistake(&self, at: Option<Path>, wrong: String) -> Mistake {
        match at {
            Some(at) => Mistake::error(&at, wrong),
            None => Mistake::error(&self.path, wrong).of_name(),
        }
    }
}

fn required(connection: &Found<'_>, meant: &BTreeSet<&'static str>, mistakes: &mut Mistakes<'_>) {
    let settings = connection.provider.about().settings;
    for setting in settings.iter().filter(|setting| setting.required && setting.default.is_none()) {
        let name = setting.name;
        if meant.contains(name) || connection.value(name).is_some() {
            continue;
        }
        let provider = connection.provider.name();
        let mistake = if connection.said.settings.contains_key(name) {
            let wrong = format!("\"{name}\" is blank, and {provider} can't do without it");
            Mistake::error(&connection.path.to(name), wrong)
        } else {
            Mistake::error(&connection.path, format!("\"{name}\" of {provider} is missing")).of_name()
        };
        mistakes.add(mistake.meaning(format!("It is {}", setting.about)));
    }
}

fn ids_differ(found: &[Found<'_>], configuration: &Configuration, mistakes: &mut Mistakes<'_>) {
    let mut known: BTreeMap<&str, &Found<'_>> = BTreeMap::new();
    for connection in found {
        let Some(other) = known.get(connection.id.as_str()) else {
            known.insert(&connection.id, connection);
            continue;
        };
        // Two locations of one id make two connections of one id, and the locations are complained of.
        let id = |location: Option<usize>| location.and_then(|index| configuration.locations.get(index));
        if let (Some(one), Some(two)) = (id(connection.location), id(other.location))
            && one.id == two.id
            && connection.said.id.is_none()
        {
            continue;
        }
        let at = connection.said.id.as_ref().map(|_| connection.path.to("id"));
        let wrong = format!("there are two connections with the id \"{}\"", connection.id);
        let meant = "Give one of them another \"id\"".to_owned();
        mistakes.add(connection.mistake(at, wrong).meaning(meant).beside(&other.path));
    }
}

/// An event must have one home: no two connections may be found by the same account and place. One that is disabled gives way
/// to the other.
fn claims_differ(found: &[Found<'_>], mistakes: &mut Mistakes<'_>) {
    let mut claimed: BTreeMap<(&str, &str, Option<&str>), &Found<'_>> = BTreeMap::new();
    for connection in found.iter().filter(|connection| connection.said.state != State::Disabled) {
        let about = connection.provider.about();
        let place = about.places.iter().find_map(|name| connection.value(name)).map(|(value, _)| value);
        for (name, account, at) in connection.accounts() {
            let claim = (connection.provider.name(), account, place);
            let other = claimed.entry(claim).or_insert(connection);
            // One connection may be found by two names for the same account.
            if std::ptr::eq(*other, connection) {
                continue;
            }
            let both = format!("\"{}\" and \"{}\"", other.id, connection.id);
            let mut wrong = match account {
                "" => format!("{both} leave out {name}, and so are both of our own account"),
                _ => format!("{both} claim the same {name}"),
            };
            let meant = match (place, about.places) {
                (None, [place, ..]) => format!("Give each a \"{place}\" of its own"),
                (None, []) => format!("Give each a \"{name}\" of its own"),
                (Some(_), places) => {
                    wrong.push_str(&format!(" and the same {}", places.join(" or ")));
                    "An event could not be told to be one's or the other's".to_owned()
                }
            };
            mistakes.add(connection.mistake(at, wrong).meaning(meant).beside(&other.path));
        }
    }
}

/// What one location's thief can do should end at that location.
fn secrets_differ(found: &[Found<'_>], mistakes: &mut Mistakes<'_>) {
    let mut known: BTreeMap<&str, (usize, Path)> = BTreeMap::new();
    for connection in found {
        let Some(location) = connection.location else { continue };
        for (name, Scalar(value)) in &connection.said.settings {
            if !is_secret(connection.provider, name) || is_blank(value) {
                continue;
            }
            let at = connection.path.to(name);
            match known.get(value.as_str()) {
                Some((other, beside)) if *other != location => {
                    let wrong = format!("\"{name}\" is the same as at another location");
                    let meant = "Each should have its own, so that one can be taken back alone".to_owned();
                    mistakes.add(Mistake::warning(&at, wrong).meaning(meant).beside(beside));
                }
                Some(_) => {}
                None => drop(known.insert(value, (location, at))),
            }
        }
    }
}

fn roles(location: &Location, path: &Path, mistakes: &mut Mistakes<'_>) {
    let counts = |said: &ConnectionSettings| said.role == Role::Primary && said.state != State::Disabled;
    if location.providers.values().any(counts) {
        return;
    }
    for (name, said) in location.providers.iter().filter(|(_, said)| said.role != Role::Primary) {
        let role = said.role.name();
        let wrong = format!("{name} is \"{role}\" at a location without a primary connection");
        let meant = "Make one of its connections \"primary\" and \"enabled\"".to_owned();
        mistakes.add(Mistake::warning(&path.to("providers").to(name).to("role"), wrong).meaning(meant));
    }
}

#[cfg(test)]
mod tests;
