//! A YAML file as a tree of which every part knows its place.
//!
//! The parser's events are read and not deserialised values: what a person wrote is kept to the letter (`0123`, `+30…` and `1.10`
//! would not survive being numbers), every part has a place, and one mistake doesn't hide the next.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, Span};

use super::finding::{Finding, Position};
use super::placeholder::{taken, unveiled, veiled};

/// The most bytes that a file has. Two thousand locations take some two million.
pub(super) const LARGEST: usize = 8 << 20;
/// How deep lists and maps may lie in each other.
const DEEPEST: usize = 24;
/// How many parts a tree has, every alias counted as what it stands for.
const MOST: usize = 2_000_000;

/// A part of a file.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) at: Position,
    /// Where a text ends.
    pub(super) to: Position,
    pub(super) what: What,
    /// How many parts it has, itself included.
    size: usize,
}

/// What a part is.
#[derive(Debug)]
pub(super) enum What {
    /// Nothing: `~`, `null`, or left out.
    Nothing,
    /// Text, a number, or a flag, as it was written.
    Text(String),
    List(Vec<Rc<Node>>),
    Map(Vec<Entry>),
}

/// A name and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) at: Position,
    pub(super) value: Rc<Node>,
}

/// A file that was read, as far as it could be.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) root: Option<Rc<Node>>,
    pub(super) findings: Vec<Finding>,
    /// What is written and has no place in the tree.
    pub(super) dropped: Vec<Rc<Node>>,
}

impl Node {
    /// What it is, in a few words.
    pub(super) fn kind(&self) -> &'static str {
        match &self.what {
            What::Nothing => "nothing",
            What::Text(_) => "a text",
            What::List(_) => "a list",
            What::Map(_) => "a map",
        }
    }
}

/// The text of a file, or why it is none.
pub(super) fn text(bytes: &[u8]) -> Result<&str, Finding> {
    let start = Position { line: 1, column: 1 };
    if bytes.len() > LARGEST {
        let text = format!("the file is larger than {} MiB. Is it the right one?", LARGEST >> 20);
        return Err(Finding::error(start, text));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(Finding::error(start, "the file is UTF-16. Save it as UTF-8"));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        Finding::error(position(&before), "the file is not UTF-8 from here on. Save it as UTF-8")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match taken(text) {
        Some(at) => Err(Finding::error(position(&text[..at]), "this character can't be used here")),
        None => Ok(text),
    }
}

/// The place behind a text.
fn position(before: &str) -> Position {
    let last = before.rsplit('\n').next().unwrap_or_default();
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    Position { line, column: last.chars().count() + 1 }
}

/// Reads a text as YAML.
pub(super) fn parse(text: &str) -> Tree {
    let veiled = veiled(text);
    let options = granit_parser::options! {
        disallow_directives: true,
        flow_nesting_limit: DEEPEST,
        block_nesting_limit: DEEPEST,
    };
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(&veiled, options) {
        let read = match event {
            Ok((event, span)) => builder.take(event, &span),
            Err(error) => Err(syntax(&error, text)),
        };
        if let Err(finding) = read {
            builder.findings.push(finding);
            return Tree { findings: builder.findings, ..Tree::default() };
        }
    }
    if builder.root.as_ref().is_none_or(|root| matches!(root.what, What::Nothing)) {
        builder.root = None;
        let start = Position { line: 1, column: 1 };
        builder.findings.push(Finding::error(start, "the file is empty. It must have \"locations\""));
    }
    let Builder { root, findings, dropped, .. } = builder;
    Tree { root, findings, dropped }
}

fn at(marker: &Marker) -> Position {
    Position { line: marker.line(), column: marker.col() + 1 }
}

/// What the parser doesn't understand, in words that say what to do where that is known.
fn syntax(error: &ScanError, text: &str) -> Finding {
    let said = match error.kind() {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInPlainScalar
        | ErrorKind::TabAtBlockScalarStart => "a tab can't indent here. Use spaces".to_owned(),
        ErrorKind::RecursionLimitExceeded => {
            format!("lists and maps may lie {DEEPEST} deep in each other, and not deeper")
        }
        ErrorKind::UnknownAnchor => "there is no anchor of this name above".to_owned(),
        ErrorKind::UnclosedQuotedScalar => "a quote that begins here is never closed".to_owned(),
        ErrorKind::UnclosedFlowCollection { open } => format!("this \"{open}\" is never closed"),
        ErrorKind::UnexpectedCharacter { character } if character.is_control() => {
            "a control character can't stand here".to_owned()
        }
        kind => format!("this is not YAML: {kind}"),
    };
    let mut at = at(error.marker());
    if said.starts_with("a tab") {
        // The parser may notice it behind the tab, or stop at what is before.
        let mut lines = text.lines().zip(1..).skip(at.line.saturating_sub(1));
        let indented = |line: &str| line.trim_start_matches(' ').starts_with('\t');
        if let Some((line, number)) = lines.find(|(line, _)| indented(line)) {
            at = Position { line: number, column: line.len() - line.trim_start_matches(' ').len() + 1 };
        }
    }
    // The end of the text has no line to show.
    let lines = text.lines().count().max(1);
    if at.line > lines {
        let last = text.lines().last().unwrap_or_default();
        at = Position { line: lines, column: last.chars().count() + 1 };
    }
    Finding::error(at, said)
}

#[derive(Default)]
struct Builder {
    root: Option<Rc<Node>>,
    findings: Vec<Finding>,
    dropped: Vec<Rc<Node>>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Rc<Node>>,
    documents: usize,
    size: usize,
}

/// A list or map that is not at its end yet.
struct Open {
    at: Position,
    anchor: usize,
    size: usize,
    inside: Inside,
}

enum Inside {
    List(Vec<Rc<Node>>),
    Map(OpenMap),
}

#[derive(Default)]
struct OpenMap {
    entries: Vec<Entry>,
    known: HashMap<String, Position>,
    /// The name whose value comes next, and whether the value is kept: of two under one name the first is.
    name: Option<(String, Position, bool)>,
    /// Maps that are laid under this one.
    under: Vec<Rc<Node>>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), Finding> {
        let place = at(&span.start);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let text = "a second document begins here. A configuration is one: take the --- out";
                    return Err(Finding::error(place, text));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = tag.as_ref().is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
                if tag.is_some() && !is_text {
                    self.findings.push(Finding::error(place, "a tag (!…) means nothing here. Leave it out"));
                }
                return self.scalar(&text, style == ScalarStyle::Plain && !is_text, anchor, span);
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.open(Inside::List(Vec::new()), anchor, place, tag.is_some())?;
            }
            Event::MappingStart(_, anchor, tag) => {
                self.open(Inside::Map(OpenMap::default()), anchor, place, tag.is_some())?;
            }
            Event::SequenceEnd | Event::MappingEnd => return self.close(),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).map(Rc::clone) else {
                    return Err(Finding::error(place, "an anchor can't be used inside of itself"));
                };
                return self.put(node, place);
            }
            _ => {}
        }
        Ok(())
    }

    fn scalar(&mut self, text: &str, plain: bool, anchor: usize, span: &Span) -> Result<(), Finding> {
        let place = at(&span.start);
        let text = unveiled(text);
        if self.awaits_name() {
            self.name(text, place);
            return Ok(());
        }
        let nothing = plain && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL");
        let node = Rc::new(Node {
            at: place,
            to: at(&span.end),
            what: if nothing { What::Nothing } else { What::Text(text) },
            size: 1,
        });
        self.remember(anchor, &node);
        self.put(node, place)
    }

    fn name(&mut self, name: String, place: Position) {
        let Some(Open { inside: Inside::Map(map), .. }) = self.open.last_mut() else { return };
        let kept = if name.contains("{{") {
            let text = "a name can't come from the environment, only a value";
            self.findings.push(Finding::error(place, text));
            false
        } else if let Some(first) = map.known.get(&name) {
            let text = format!("\"{name}\" is said twice here");
            let others = vec![*first];
            self.findings.push(Finding { others, ..Finding::error(place, text) });
            false
        } else {
            name == "<<" || map.known.insert(name.clone(), place).is_none()
        };
        map.name = Some((name, place, kept));
    }

    fn open(&mut self, inside: Inside, anchor: usize, place: Position, tagged: bool) -> Result<(), Finding> {
        if tagged {
            self.findings.push(Finding::error(place, "a tag (!…) means nothing here. Leave it out"));
        }
        if self.awaits_name() {
            return Err(Finding::error(place, "a name must be a text, and not a list or a map"));
        }
        if self.open.len() >= DEEPEST {
            let text = format!("lists and maps may lie {DEEPEST} deep in each other, and not deeper");
            return Err(Finding::error(place, text));
        }
        self.open.push(Open { at: place, anchor, size: 1, inside });
        Ok(())
    }

    fn awaits_name(&self) -> bool {
        matches!(self.open.last(), Some(Open { inside: Inside::Map(map), .. }) if map.name.is_none())
    }

    fn close(&mut self) -> Result<(), Finding> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let what = match open.inside {
            Inside::List(entries) => What::List(entries),
            Inside::Map(map) => What::Map(merged(map, &mut self.dropped)),
        };
        let node = Rc::new(Node { at: open.at, to: open.at, what, size: open.size });
        self.remember(open.anchor, &node);
        self.put(node, open.at)
    }

    fn remember(&mut self, anchor: usize, node: &Rc<Node>) {
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(node));
        }
    }

    /// Puts a part where it belongs. `place` is where it is used, which for an alias is not where it is written.
    fn put(&mut self, node: Rc<Node>, place: Position) -> Result<(), Finding> {
        if self.awaits_name() {
            return Err(Finding::error(place, "a name must be written out, and not be an alias"));
        }
        // A list or map was counted part by part while it was open; an alias is counted here.
        self.size = self.size.saturating_add(if node.at == place { 1 } else { node.size });
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.size = open.size.saturating_add(node.size);
        if self.size.max(open.size) > MOST {
            return Err(Finding::error(place, "aliases make this file far too large"));
        }
        match &mut open.inside {
            Inside::List(entries) => entries.push(node),
            Inside::Map(map) => match map.name.take() {
                Some((_, _, false)) | None => self.dropped.push(node),
                Some((name, ..)) if name == "<<" => {
                    if let Some(maps) = under(&node) {
                        map.under.extend(maps);
                    } else {
                        let text = "only a map can be laid under by \"<<\"";
                        self.findings.push(Finding::error(place, text));
                        self.dropped.push(node);
                    }
                }
                Some((name, at, true)) => map.entries.push(Entry { name, at, value: node }),
            },
        }
        Ok(())
    }
}

/// The maps that `<<` lays under another: one, or a list of them.
fn under(node: &Rc<Node>) -> Option<Vec<Rc<Node>>> {
    match &node.what {
        What::Map(_) => Some(vec![Rc::clone(node)]),
        What::List(maps) if maps.iter().all(|map| matches!(map.what, What::Map(_))) => Some(maps.clone()),
        _ => None,
    }
}

/// What a map says itself, and then what those under it say beside.
fn merged(map: OpenMap, dropped: &mut Vec<Rc<Node>>) -> Vec<Entry> {
    let OpenMap { mut entries, mut known, under, .. } = map;
    for lower in under {
        let What::Map(lower) = &lower.what else { continue };
        for entry in lower {
            if known.insert(entry.name.clone(), entry.at).is_none() {
                entries.push(entry.clone());
            } else {
                dropped.push(Rc::clone(&entry.value));
            }
        }
    }
    entries
}

#[cfg(test)]
mod tests;
