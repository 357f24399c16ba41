//! A file's bytes as a checked configuration: read as YAML, understood, filled from the environment, and checked, with
//! everything that is wrong and its place.

use std::collections::BTreeMap;

use tillwatch_domain::location::Configuration;
use tillwatch_providers::catalogue::{self, SettingKind};
use tillwatch_workflows::configuration::{Mistake, Part, Path, Segment, Severity, check_as_written};

use super::finding::{Finding, Hidden, Position};
use super::read::{Environment, Filled, is_capital_of, read};
use super::tree::{self, Entry, Node, What};

/// The most mistakes that are looked up in the file: nobody reads more.
const MOST: usize = 1_000;

/// A configuration, and what is wrong with the file that it is from.
#[derive(Default)]
pub(super) struct Loaded {
    pub(super) configuration: Configuration,
    /// In the order of their places.
    pub(super) findings: Vec<Finding>,
    /// How much is wrong beyond that.
    pub(super) more: usize,
    /// What must not be shown of the file, in the order of the places.
    pub(super) hidden: Vec<Hidden>,
}

impl Loaded {
    /// Whether it must not be applied.
    pub(super) fn is_wrong(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }
}

/// Loads a file.
pub(super) fn load(bytes: &[u8], environment: Environment<'_>) -> Loaded {
    let text = match tree::text(bytes) {
        Ok(text) => text,
        Err(finding) => return Loaded { findings: vec![finding], ..Loaded::default() },
    };
    let tree = tree::parse(text);
    let Some(root) = tree.root else {
        let (findings, hidden) = (tree.findings, values_by_shape(text));
        return Loaded { findings, hidden, ..Loaded::default() };
    };
    let read = read(&root, environment);
    let mut mistakes = read.mistakes;
    mistakes.extend(check_as_written(&read.configuration, &read.written));
    for mistake in &mut mistakes {
        unfill(mistake, &read.filled);
    }
    // Errors first, should there be more than are looked up.
    mistakes.sort_by_key(|mistake| mistake.severity);
    let mut findings = tree.findings;
    let more = findings.len().saturating_sub(MOST) + mistakes.len().saturating_sub(MOST);
    findings.truncate(MOST);
    findings.extend(mistakes.iter().take(MOST).map(|mistake| found(mistake, &root)));
    for (name, paths) in read.missing {
        let text = format!("the environment variable {name} is not set, or is empty");
        let mut places = paths.iter().map(|path| place(&root, path, Part::Value));
        let first = places.next().unwrap_or_default();
        findings.push(Finding { others: places.collect(), ..Finding::error(first, text) });
    }
    findings.sort_by_key(|finding| (finding.at, finding.severity));
    let mut hidden = Vec::new();
    if !findings.is_empty() {
        hide(&root, &mut Vec::new(), &mut hidden);
        for node in &tree.dropped {
            hide(node, &mut Vec::new(), &mut hidden);
        }
        hidden.sort_by_key(|hidden: &Hidden| hidden.at);
    }
    Loaded { configuration: read.configuration, findings, more, hidden }
}

/// Puts the placeholder back where a mistake quotes what came from the environment.
fn unfill(mistake: &mut Mistake, filled: &BTreeMap<Path, Filled>) {
    // A connection's id is also complained of at the connection.
    for path in [mistake.path.clone(), mistake.path.to("id")] {
        if let Some(Filled { value, written }) = filled.get(&path) {
            mistake.wrong = mistake.wrong.replace(value, written);
        }
    }
}

fn found(mistake: &Mistake, root: &Node) -> Finding {
    Finding {
        at: place(root, &mistake.path, mistake.part),
        severity: mistake.severity,
        text: mistake.to_string(),
        others: mistake.other.iter().map(|other| place(root, other, Part::Value)).collect(),
    }
}

/// Where what a path leads to is written; if it is not, where what it should be in is.
fn place(root: &Node, path: &Path, part: Part) -> Position {
    let (mut node, mut at) = (root, root.at);
    for (step, segment) in path.segments().iter().enumerate() {
        let is_last = step + 1 == path.segments().len();
        match (&node.what, segment) {
            (What::Map(entries), Segment::Name(name)) => {
                let Some(entry) = entry(entries, name) else { return at };
                node = &entry.value;
                // Nothing has no place of its own, and what is in a map is found by the map's name.
                let is_value = is_last && part == Part::Value;
                let by_name = !is_value || matches!(node.what, What::Nothing);
                at = if by_name { entry.at } else { node.at };
            }
            (What::List(entries), Segment::Index(index)) => {
                let Some(entry) = entries.get(*index) else { return at };
                node = entry;
                at = node.at;
            }
            _ => return at,
        }
    }
    at
}

/// The entry of that name, or of that name with a capital where the older form has one.
fn entry<'a>(entries: &'a [Entry], name: &str) -> Option<&'a Entry> {
    let exact = entries.iter().find(|entry| entry.name == name);
    exact.or_else(|| entries.iter().find(|entry| is_capital_of(&entry.name, name)))
}

/// Finds what must not be shown: values of connections that are not known to be harmless, and what is said of people.
fn hide<'a>(node: &'a Node, way: &mut Vec<&'a str>, hidden: &mut Vec<Hidden>) {
    match &node.what {
        What::Nothing => {}
        What::Text(text) => {
            if !is_harmless(way) && !text.contains("{{") {
                hidden.extend(stretches(node.at, node.to));
            }
        }
        What::List(entries) => entries.iter().for_each(|entry| hide(entry, way, hidden)),
        What::Map(entries) => {
            // The provider of a business's connection is said beside its settings.
            let of_business = way.as_slice() == ["connections"];
            if of_business {
                let provider = entries.iter().find(|entry| entry.name == "provider");
                way.push(match provider.map(|entry| &entry.value.what) {
                    Some(What::Text(name)) => name,
                    _ => "",
                });
            }
            for entry in entries {
                way.push(&entry.name);
                hide(&entry.value, way, hidden);
                way.pop();
            }
            if of_business {
                way.pop();
            }
        }
    }
}

/// Whether the value that names lead to may be shown.
fn is_harmless(way: &[&str]) -> bool {
    let (provider, name) = match way {
        ["locations", "providers", provider, name, ..]
        | ["providers" | "connections", provider, name, ..] => (provider, name),
        // What is in the wrong place may be anything.
        ["locations", "contact" | "providers", ..] => return false,
        ["businesses" | "locations", ..] => return true,
        _ => return false,
    };
    if ["id", "state", "role", "business", "provider"].contains(name) {
        return true;
    }
    let setting = catalogue::of(provider).and_then(|provider| provider.setting(name));
    setting.is_some_and(|setting| {
        matches!(
            setting.kind,
            SettingKind::Text
                | SettingKind::Url
                | SettingKind::Number
                | SettingKind::Flag
                | SettingKind::Time
        )
    })
}

/// The lines between two places.
fn stretches(from: Position, to: Position) -> impl Iterator<Item = Hidden> {
    (from.line..=to.line.max(from.line)).map(move |line| Hidden {
        at: Position { line, column: if line == from.line { from.column } else { 1 } },
        to: (line == to.line).then_some(to.column),
    })
}

/// What must not be shown of a file that is no YAML: whatever is not a name at a line's beginning.
fn values_by_shape(text: &str) -> Vec<Hidden> {
    let value = |(index, line): (usize, &str)| {
        let indent = line.len() - line.trim_start_matches([' ', '\t', '-']).len();
        let name = line.split_once(':').map_or(indent, |(name, _)| name.len() + 1);
        let column = line.get(..name)?.chars().count() + 2;
        Some(Hidden { at: Position { line: index + 1, column }, to: None })
    };
    text.lines().enumerate().filter_map(value).collect()
}

#[cfg(test)]
mod tests;
