//! What a file's tree says, as a configuration. Everything that has no meaning is found, not the first of it only.

use std::collections::BTreeMap;
use std::rc::Rc;

use tillwatch_domain::connection::{Role, State};
use tillwatch_domain::location::{Business, BusinessConnection, Configuration, ConnectionSettings, Scalar};
use tillwatch_workflows::configuration::{Mistake, Path, Written, did_you_mean, listed};

use super::placeholder::{Piece, pieces};
use super::tree::{Entry, Node, What};

mod location;

pub(super) use location::is_capital_of;

/// Where variables come from; none: they are not to be read.
pub(super) type Environment<'a> = Option<&'a dyn Fn(&str) -> Option<String>>;

/// A configuration as far as a tree is one.
#[derive(Default)]
pub(super) struct Read {
    pub(super) configuration: Configuration,
    pub(super) written: Written,
    pub(super) mistakes: Vec<Mistake>,
    /// What was made of values with variables in them.
    pub(super) filled: BTreeMap<Path, Filled>,
    /// Variables that are not set, with every value that needs them.
    pub(super) missing: BTreeMap<String, Vec<Path>>,
}

/// A value that came from the environment, and what is written in its place.
pub(super) struct Filled {
    pub(super) value: String,
    pub(super) written: String,
}

const CONFIGURATION: &[&str] = &["businesses", "providers", "locations", "connections"];
const BUSINESS: &[&str] = &["name"];

/// Reads a tree.
pub(super) fn read(root: &Node, environment: Environment<'_>) -> Read {
    let mut reader = Reader { environment, read: Read::default() };
    let configuration = reader.configuration(root);
    Read { configuration, ..reader.read }
}

struct Reader<'a> {
    environment: Environment<'a>,
    read: Read,
}

/// A name, the value under it, and the path to that.
struct Field<'a> {
    name: &'a str,
    value: &'a Node,
    path: Path,
}

impl Reader<'_> {
    fn configuration(&mut self, root: &Node) -> Configuration {
        let mut configuration = Configuration::default();
        for Field { name, value, path } in self.fields(root, &Path::default(), CONFIGURATION) {
            match name {
                "businesses" => {
                    configuration.businesses =
                        self.map(value, &path, |reader, node, path| Some(reader.business(node, path)));
                }
                "providers" => {
                    configuration.providers = self.map(value, &path, |reader, node, path| {
                        Some(reader.map(node, path, |reader, node, path| Some(reader.setting(node, path))))
                    });
                }
                "locations" => configuration.locations = self.list(value, &path, Self::location),
                _ => configuration.connections = self.list(value, &path, Self::business_connection),
            }
        }
        configuration
    }

    fn business(&mut self, node: &Node, path: &Path) -> Business {
        let mut business = Business::default();
        for Field { value, path, .. } in self.fields(node, path, BUSINESS) {
            business.name = self.text(value, &path);
        }
        business
    }

    fn business_connection(&mut self, node: &Node, path: &Path) -> BusinessConnection {
        let (mut business, mut provider) = (String::new(), String::new());
        let mut connection = ConnectionSettings::default();
        if self.is_map(node, path, "a map, with at least \"business\" and \"provider\"") {
            for Field { name, value, path } in self.any_fields(node, path).unwrap_or_default() {
                match name {
                    "business" => business = self.text(value, &path).unwrap_or_default(),
                    "provider" => provider = self.text(value, &path).unwrap_or_default(),
                    _ => self.said(name, value, &path, &mut connection),
                }
            }
        } else {
            business = self.stand_in(&path.to("business"));
            provider = self.stand_in(&path.to("provider"));
        }
        BusinessConnection { business, provider, connection }
    }

    fn connection(&mut self, node: &Node, path: &Path) -> Option<ConnectionSettings> {
        let mut connection = ConnectionSettings::default();
        for Field { name, value, path } in self.any_fields(node, path)? {
            self.said(name, value, &path, &mut connection);
        }
        Some(connection)
    }

    /// What is said of a connection under one name.
    fn said(&mut self, name: &str, value: &Node, path: &Path, connection: &mut ConnectionSettings) {
        match name {
            "id" => connection.id = self.text(value, path),
            "state" => {
                let all = State::ALL.map(|state| (state.name(), state));
                connection.state = self.choice(value, path, &all).unwrap_or_default();
            }
            "role" => {
                let all = Role::ALL.map(|role| (role.name(), role));
                connection.role = self.choice(value, path, &all).unwrap_or_default();
            }
            _ => {
                let setting = self.setting(value, path);
                connection.settings.insert(name.to_owned(), setting);
            }
        }
    }

    /// A setting's value; nothing is an empty one.
    fn setting(&mut self, node: &Node, path: &Path) -> Scalar {
        // However YAML writes a flag, it is that flag.
        let plain = self.text(node, path).unwrap_or_default();
        Scalar(match plain.as_str() {
            "True" | "TRUE" => "true".to_owned(),
            "False" | "FALSE" => "false".to_owned(),
            _ => plain,
        })
    }

    /// A text with its variables filled in; none, if nothing is said.
    fn text(&mut self, node: &Node, path: &Path) -> Option<String> {
        let text = match &node.what {
            What::Nothing => return None,
            What::Text(text) => text,
            What::List(_) | What::Map(_) => {
                self.wrong_kind(node, path, "a text");
                // Something is said, if not what: that it were missing would be a second complaint of the same.
                return Some(self.stand_in(path));
            }
        };
        if !text.contains("{{") {
            return Some(text.clone());
        }
        let pieces = match pieces(text) {
            Ok(pieces) => pieces,
            Err(wrong) => {
                self.read.mistakes.push(Mistake::error(path, wrong));
                return Some(self.stand_in(path));
            }
        };
        let names = pieces.iter().filter_map(|piece| match piece {
            Piece::Variable(name) => Some((*name).to_owned()),
            Piece::Text(_) => None,
        });
        self.read.written.variables.insert(path.clone(), names.collect());
        let mut filled = String::new();
        let mut whole = true;
        for piece in pieces {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Variable(name) => match self.environment.map(|value| value(name)) {
                    Some(Some(value)) => filled.push_str(&value),
                    Some(None) => {
                        self.read.missing.entry(name.to_owned()).or_default().push(path.clone());
                        whole = false;
                    }
                    None => whole = false,
                },
            }
        }
        if whole {
            let made = Filled { value: filled.clone(), written: text.clone() };
            self.read.filled.insert(path.clone(), made);
            return Some(filled);
        }
        // The placeholder stands for its value: what has the same one has the same value.
        self.read.written.unknown.insert(path.clone());
        Some(text.clone())
    }

    /// A value unlike any other, in the place of one that can't be told.
    fn stand_in(&mut self, path: &Path) -> String {
        self.read.written.unknown.insert(path.clone());
        path.to_string()
    }

    fn choice<T: Copy>(&mut self, node: &Node, path: &Path, all: &[(&'static str, T)]) -> Option<T> {
        let text = self.text(node, path)?;
        if let Some((_, value)) = all.iter().find(|(name, _)| *name == text) {
            return Some(*value);
        }
        if !self.read.written.unknown.contains(path) {
            let names = || all.iter().map(|(name, _)| *name);
            let wrong = format!("\"{text}\" is none of {}", names().collect::<Vec<_>>().join(", "));
            let meant = did_you_mean(&text, names()).filter(|meant| *meant != listed(names()));
            self.read.mistakes.push(Mistake::error(path, wrong).meaning(meant));
        }
        None
    }

    /// The entries of a list; nothing is an empty list. Every entry keeps its place, or those after it would be sought in
    /// the wrong ones.
    fn list<T>(&mut self, node: &Node, path: &Path, entry: impl Fn(&mut Self, &Node, &Path) -> T) -> Vec<T> {
        match &node.what {
            What::Nothing => Vec::new(),
            What::List(entries) => {
                let entries = entries.iter().enumerate();
                entries.map(|(index, node)| entry(self, node, &path.at(index))).collect()
            }
            What::Text(_) | What::Map(_) => {
                self.wrong_kind(node, path, "a list, each entry on a line of its own after \"- \"");
                Vec::new()
            }
        }
    }

    /// Whether an entry of a list is the map that it must be.
    fn is_map(&mut self, node: &Node, path: &Path, expected: &str) -> bool {
        let is_map = matches!(node.what, What::Map(_));
        if !is_map {
            self.wrong_kind(node, path, expected);
        }
        is_map
    }

    /// The values of a map that can be read, under any names; nothing is an empty map.
    fn map<T>(
        &mut self,
        node: &Node,
        path: &Path,
        entry: impl Fn(&mut Self, &Node, &Path) -> Option<T>,
    ) -> BTreeMap<String, T> {
        let fields = self.any_fields(node, path).unwrap_or_default();
        let read = |field: Field<'_>| {
            let value = entry(self, field.value, &field.path)?;
            Some((field.name.to_owned(), value))
        };
        fields.into_iter().filter_map(read).collect()
    }

    /// A map's fields, whatever they are called. None, if it is none; nothing is a map without any.
    fn any_fields<'n>(&mut self, node: &'n Node, path: &Path) -> Option<Vec<Field<'n>>> {
        match &node.what {
            What::Nothing => Some(Vec::new()),
            What::Map(entries) => {
                let field = |entry: &'n Entry| {
                    let value: &Rc<Node> = &entry.value;
                    Field { name: &entry.name, value, path: path.to(&entry.name) }
                };
                Some(entries.iter().map(field).collect())
            }
            What::Text(_) | What::List(_) => {
                self.wrong_kind(node, path, "a map, each line of it a name, a colon and a value");
                None
            }
        }
    }

    /// A map's fields, of which only these are known. At the top, one whose name begins with `x-` may hold what anchors
    /// are for.
    fn fields<'n>(&mut self, node: &'n Node, path: &Path, known: &[&'static str]) -> Vec<Field<'n>> {
        let mut fields = self.any_fields(node, path).unwrap_or_default();
        fields.retain(|field| {
            let is_known = known.contains(&field.name);
            let is_shelf = path.segments().is_empty() && field.name.starts_with("x-");
            if !is_known && !is_shelf {
                self.unknown(field.name, &field.path, known);
            }
            is_known
        });
        fields
    }

    fn unknown(&mut self, name: &str, path: &Path, known: &[&'static str]) {
        // Nobody reads so many, and finding out what was meant takes the most time of all.
        let are_few = self.read.mistakes.len() <= 1_000;
        let meant = are_few.then(|| did_you_mean(name, known.iter().copied())).flatten();
        let mistake = Mistake::error(path, format!("unknown name \"{name}\"")).of_name();
        self.read.mistakes.push(mistake.meaning(meant));
    }

    fn twice(&mut self, name: &str, path: &Path) {
        self.read.mistakes.push(Mistake::error(path, format!("\"{name}\" is said twice here")).of_name());
    }

    fn wrong_kind(&mut self, node: &Node, path: &Path, expected: &str) {
        let what = path.name().map_or_else(|| "this".to_owned(), |name| format!("\"{name}\""));
        let wrong = format!("{what} is {}, and must be {expected}", node.kind());
        self.read.mistakes.push(Mistake::error(path, wrong));
    }
}
