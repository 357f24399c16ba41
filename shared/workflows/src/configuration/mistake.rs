//! A mistake in a configuration: where it is, what is wrong, and what was probably meant.

use std::fmt;

use serde::{Serialize, Serializer};

/// One step from a whole configuration towards a value in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    /// Into what has that name.
    Name(String),
    /// Into that entry of a list, counted from 0.
    Index(usize),
}

/// The way from a whole configuration to a value in it: `locations[3].providers.square.merchant_id`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(Vec<Segment>);

/// Which part of what a path leads to is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Its name, or that it is there at all.
    Name,
    /// Its value.
    Value,
}

/// How bad a mistake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The configuration can't be applied.
    Error,
    /// It can, and is perhaps not meant.
    Warning,
}

/// A mistake. Its texts never quote a secret, nor what is said of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// How bad it is.
    pub severity: Severity,
    /// Where it is.
    pub path: Path,
    /// At which part of it.
    pub part: Part,
    /// What is wrong, without a full stop.
    pub wrong: String,
    /// What was probably meant, or what may stand there, as a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meant: Option<String>,
    /// Where the other one is, if two don't go together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other: Option<Path>,
}

impl Path {
    /// The way on to what has that name.
    #[must_use]
    pub fn to(&self, name: &str) -> Self {
        self.with(Segment::Name(name.to_owned()))
    }

    /// The way on to that entry, counted from 0.
    #[must_use]
    pub fn at(&self, index: usize) -> Self {
        self.with(Segment::Index(index))
    }

    /// The steps.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// The last step, if it is a name.
    pub fn name(&self) -> Option<&str> {
        match self.0.last() {
            Some(Segment::Name(name)) => Some(name),
            _ => None,
        }
    }

    fn with(&self, segment: Segment) -> Self {
        let mut segments = Vec::with_capacity(self.0.len() + 1);
        segments.extend_from_slice(&self.0);
        segments.push(segment);
        Self(segments)
    }
}

impl FromIterator<Segment> for Path {
    fn from_iter<T: IntoIterator<Item = Segment>>(segments: T) -> Self {
        Self(segments.into_iter().collect())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Name(name) if index == 0 => f.write_str(name)?,
                Segment::Name(name) => write!(f, ".{name}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl Serialize for Path {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Mistake {
    /// An error at the value that the path leads to.
    pub fn error(path: &Path, wrong: impl Into<String>) -> Self {
        let (severity, part) = (Severity::Error, Part::Value);
        Self { severity, path: path.clone(), part, wrong: wrong.into(), meant: None, other: None }
    }

    /// A warning at the value that the path leads to.
    pub fn warning(path: &Path, wrong: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(path, wrong) }
    }

    /// The same at the name.
    #[must_use]
    pub fn of_name(self) -> Self {
        Self { part: Part::Name, ..self }
    }

    /// The same with what was meant: a sentence, or nothing.
    #[must_use]
    pub fn meaning(self, meant: impl Into<Option<String>>) -> Self {
        Self { meant: meant.into(), ..self }
    }

    /// The same with where the other one is.
    #[must_use]
    pub fn beside(self, other: &Path) -> Self {
        Self { other: Some(other.clone()), ..self }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.wrong)?;
        match &self.meant {
            Some(meant) => write!(f, ". {meant}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_people_write_it() {
        let path = Path::default().to("locations").at(3).to("providers").to("square");
        assert_eq!(path.to_string(), "locations[3].providers.square");
        assert_eq!(serde_json::to_value(&path).unwrap(), "locations[3].providers.square");
    }

    #[test]
    fn a_mistake_says_what_is_wrong_and_then_what_was_meant() {
        let mistake = Mistake::error(&Path::default(), "unknown setting \"merchant\"");
        assert_eq!(mistake.to_string(), "unknown setting \"merchant\"");
        let meant = mistake.meaning("Did you mean \"merchant_id\"?".to_owned());
        assert_eq!(meant.to_string(), "unknown setting \"merchant\". Did you mean \"merchant_id\"?");
    }
}
