//! What of connections is sealed whole: their tokens, and what a key ring sealed first.

use super::Connections;
use crate::entropy;
use crate::table::item::{Reader, conditional, text};
use crate::table::{Item, TableError, Written};

/// A connection's tokens, and how their refreshing stands, as they are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SealedTokens {
    /// A JSON object of texts, sealed whole; none, if there is none.
    pub sealed: Option<String>,
    /// How their refreshing stands, as JSON; none, if nobody has refreshed them.
    pub state: Option<String>,
    /// Which writing that was; none of what was written before this was kept.
    writing: Option<String>,
}

impl Connections {
    /// A connection's sealed tokens, as they are now.
    pub async fn sealed_tokens(&self, connection: &str) -> Result<SealedTokens, TableError> {
        let action = "read sealed tokens";
        let Some(item) = self.get(action, &format!("S#{connection}"), "S").await? else {
            return Ok(SealedTokens::default());
        };
        let reader = Reader { action, item: &item };
        let text = |name| reader.text(name).map(str::to_owned);
        Ok(SealedTokens { sealed: text("s"), state: text("tk"), writing: text("n") })
    }

    /// Writes a connection's sealed tokens and the state of their refreshing, or takes both away, if they are still those
    /// that were read (`over`); as they are then. None: somebody else has written them.
    pub async fn put_sealed_tokens(
        &self,
        connection: &str,
        (sealed, state): (Option<&str>, Option<&str>),
        over: &SealedTokens,
    ) -> Result<Option<SealedTokens>, TableError> {
        let (mut conditions, mut values) = (Vec::new(), Item::new());
        for (name, was) in [("s", &over.sealed), ("n", &over.writing)] {
            match was {
                None => conditions.push(format!("attribute_not_exists({name})")),
                Some(was) => {
                    conditions.push(format!("{name} = :{name}"));
                    values.insert(format!(":{name}"), text(was));
                }
            }
        }
        let condition = conditions.join(" AND ");
        let values = Some(values).filter(|values| !values.is_empty());
        let pk = text(format!("S#{connection}"));
        let Some(sealed) = sealed else {
            let delete = self.client.delete_item().table_name(&self.table).key("pk", pk).key("sk", text("S"));
            let delete =
                delete.condition_expression(condition).set_expression_attribute_values(values).send().await;
            let written = conditional(delete.map_err(TableError::new("delete sealed tokens")))?;
            return Ok((written == Written::Yes).then(SealedTokens::default));
        };
        let writing = hex::encode(entropy::bytes::<8>());
        let put = self.client.put_item().table_name(&self.table);
        let put = put.item("pk", pk).item("sk", text("S")).item("s", text(sealed)).item("n", text(&writing));
        let put = match state {
            Some(state) => put.item("tk", text(state)),
            None => put,
        };
        let put = put.condition_expression(condition).set_expression_attribute_values(values).send().await;
        let written = conditional(put.map_err(TableError::new("write sealed tokens")))?;
        let new = SealedTokens {
            sealed: Some(sealed.to_owned()),
            state: state.map(str::to_owned),
            writing: Some(writing),
        };
        Ok((written == Written::Yes).then_some(new))
    }

    /// What the key rings sealed when they were first used, by the ring's name: whoever starts with others is told so.
    pub async fn sealed_trials(&self) -> Result<Vec<(String, String)>, TableError> {
        let action = "read what the key rings sealed";
        let items = self.query(action, "M#rings".to_owned(), false).await?;
        let trial = |item: &Item| {
            let reader = Reader { action, item };
            let name = reader.must("sk", reader.text("sk"))?;
            Ok((name.to_owned(), reader.must("s", reader.text("s"))?.to_owned()))
        };
        items.iter().map(trial).collect()
    }

    /// Keeps what a key ring sealed.
    pub async fn put_sealed_trial(&self, ring: &str, sealed: &str) -> Result<(), TableError> {
        let item = Item::from([
            ("pk".to_owned(), text("M#rings")),
            ("sk".to_owned(), text(ring)),
            ("s".to_owned(), text(sealed)),
        ]);
        self.put("keep what a key ring sealed", item).await
    }
}
