//! What comes back from the provider's page: a query that has one reading, or none.

use std::fmt;

use crate::form::Form;

/// The longest that is read, in bytes; codes have some hundreds.
const LONGEST: usize = 8 * 1024;

/// The query with which a person comes back. Debug output shows the names alone.
pub struct Callback(Form);

impl Callback {
    /// None, if it is longer than any, can't be read in exactly one way, or says anything twice.
    pub fn read(query: &str) -> Option<Self> {
        if query.len() > LONGEST {
            return None;
        }
        let form = Form::read(query.as_bytes())?;
        let mut names: Vec<_> = form.names().collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        (names.len() == count).then_some(Self(form))
    }

    /// What is said under that name, unless it is empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.one(name).ok().flatten()
    }

    /// Names and values, by their bytes.
    pub(crate) fn sorted(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.sorted().into_iter()
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_twice_or_has_no_one_reading_is_refused() {
        for query in ["code=a&code=a", "code=a&%63ode=b", "code=%zz", "code=a&&state=b", &"a".repeat(9_000)] {
            assert!(Callback::read(query).is_none(), "{query}");
        }
        let callback = Callback::read("code=a%2Fb&state=&x=1").unwrap();
        assert_eq!(
            (callback.get("code"), callback.get("state"), callback.get("y")),
            (Some("a/b"), None, None)
        );
        assert!(Callback::read("").is_some());
    }

    #[test]
    fn debug_output_shows_no_code() {
        assert!(!format!("{:?}", Callback::read("code=hunter2").unwrap()).contains("hunter2"));
    }
}
