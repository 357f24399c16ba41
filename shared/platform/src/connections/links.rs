//! Links by which somebody signs in anew: one a connection, found by a digest of what is secret in it.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Connections, Stored, stored};
use crate::table::item::{Reader, conditional, number, text};
use crate::table::schema::EXPIRES;
use crate::table::{Item, TableError, Written};

fn link_key(connection: &str) -> String {
    format!("N#{connection}")
}

fn finder_key(digest: &str) -> String {
    format!("O#{digest}")
}

impl Connections {
    /// A connection's link, as it is now.
    pub async fn link<T: DeserializeOwned>(&self, connection: &str) -> Result<Option<Stored<T>>, TableError> {
        let action = "read a link to sign in";
        let item = self.get(action, &link_key(connection), "D").await?;
        item.map(|item| stored(action, &item)).transpose()
    }

    /// Writes a connection's link over the revision that was read, or, if there was none, only if there still is none. It is
    /// deleted some time after `expires`, Unix seconds.
    pub async fn put_link<T: Serialize>(
        &self,
        connection: &str,
        link: &T,
        over: Option<i64>,
        expires: i64,
    ) -> Result<Written, TableError> {
        let action = "write a link to sign in";
        let json = serde_json::to_string(link).map_err(|_| TableError::corrupt(action, "d"))?;
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("pk", text(link_key(connection)))
            .item("sk", text("D"))
            .item("d", text(json))
            .item("rv", number(over.unwrap_or(0) + 1))
            .item(EXPIRES, number(expires));
        let put = match over {
            None => put.condition_expression("attribute_not_exists(pk)"),
            Some(revision) => {
                put.condition_expression("rv = :rv").expression_attribute_values(":rv", number(revision))
            }
        };
        conditional(put.send().await.map_err(TableError::new(action)))
    }

    /// Takes a connection's link away.
    pub async fn delete_link(&self, connection: &str) -> Result<(), TableError> {
        self.delete("take away a link to sign in", &link_key(connection), "D").await
    }

    /// The connection of the link of that digest, if there may be one: the link itself says whether it still is that one.
    pub async fn linked(&self, digest: &str) -> Result<Option<String>, TableError> {
        let action = "find a link to sign in";
        let item = self.get(action, &finder_key(digest), "O").await?;
        Ok(item.as_ref().and_then(|item| Reader { action, item }.text("cn")).map(str::to_owned))
    }

    /// Has a connection's link found by that digest.
    pub async fn put_linked(&self, digest: &str, connection: &str, expires: i64) -> Result<(), TableError> {
        let item = Item::from([
            ("pk".to_owned(), text(finder_key(digest))),
            ("sk".to_owned(), text("O")),
            ("cn".to_owned(), text(connection)),
            (EXPIRES.to_owned(), number(expires)),
        ]);
        self.put("have a link to sign in found", item).await
    }

    /// Has no link found by that digest any more.
    pub async fn delete_linked(&self, digest: &str) -> Result<(), TableError> {
        self.delete("have a link to sign in found no more", &finder_key(digest), "O").await
    }
}
