//! Records in the table: one item each, written only over the revision that was read.

use tillwatch_domain::{Record, RecordKey};

use super::{Reader, Table, TableError, Written, conditional, number, text};

/// A record and the revision of its item.
#[derive(Debug, Clone)]
pub struct StoredRecord {
    /// The record.
    pub record: Record,
    /// Counts the item's writes.
    pub revision: i64,
}

fn partition(key: &RecordKey) -> String {
    format!("R#{}#{}#{}#{}", key.provider, key.kind.name(), key.scope, key.id)
}

impl Table {
    /// The record, if it is there. A read that is not `consistent` costs half and may be a moment old.
    pub async fn record(
        &self,
        key: &RecordKey,
        consistent: bool,
    ) -> Result<Option<StoredRecord>, TableError> {
        let action = "read a record";
        let Some(item) = self.get(action, partition(key), "R", consistent).await? else { return Ok(None) };
        let reader = Reader { action, item: &item };
        let revision = reader.must("rv", reader.number("rv"))?;
        let document = reader.must("d", reader.text("d"))?;
        let record = serde_json::from_str(document).map_err(|_| TableError::corrupt(action, "d"))?;
        Ok(Some(StoredRecord { record, revision }))
    }

    /// Writes the record over the revision that was read, or, if there was none, only if there still is none.
    pub async fn put_record(&self, record: &Record, over: Option<i64>) -> Result<Written, TableError> {
        let action = "write a record";
        let document = serde_json::to_string(record).map_err(|_| TableError::corrupt(action, "d"))?;
        let put = self
            .client
            .put_item()
            .table_name(&self.main)
            .item("pk", text(partition(&record.key)))
            .item("sk", text("R"))
            .item("rv", number(over.unwrap_or(0) + 1))
            .item("d", text(document));
        let put = match over {
            None => put.condition_expression("attribute_not_exists(pk)"),
            Some(revision) => {
                put.condition_expression("rv = :rv").expression_attribute_values(":rv", number(revision))
            }
        };
        conditional(put.send().await.map_err(TableError::new(action)))
    }
}
