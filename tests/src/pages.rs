//! Lists that come in pages.

use serde_json::Value;

/// A list of deliveries that is read page by page.
#[derive(Debug)]
pub struct Pages {
    list: String,
    next: Option<String>,
    /// What was read so far.
    pub deliveries: Vec<Value>,
}

impl Pages {
    /// The list at this path, which has a query: `/webhooks/deliveries/square?limit=500`.
    pub fn of(list: impl Into<String>) -> Self {
        let list = list.into();
        Self { next: Some(list.clone()), list, deliveries: Vec::new() }
    }

    /// Where the next page is; none after the last.
    pub fn wanted(&mut self) -> Option<String> {
        self.next.take()
    }

    /// Takes in the page that was found there.
    pub fn read(&mut self, page: &Value) {
        self.deliveries.extend(page["deliveries"].as_array().expect("a page has deliveries").iter().cloned());
        self.next = page["next"].as_str().map(|cursor| format!("{}&cursor={cursor}", self.list));
    }
}
