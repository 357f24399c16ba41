//! Figures in their table: counts of a minute and of a day, added up so that no batch counts twice.

use jiff::Timestamp;
use jiff::tz::Offset;
use tillwatch_domain::figures::Deltas;

use super::schema::EXPIRES;
use super::{Item, Reader, Table, TableError, Written, conditional, number, text};

/// The span that a count is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// A minute; kept for 32 days.
    Minute,
    /// An hour; kept for 32 days.
    Hour,
    /// A UTC day; kept for 400 days.
    Day,
}

/// One item of figures: a provider's, of one minute or day, as far as one shard of the stream told of it. Within a shard
/// the stream is in order, so its last sequence number says what was counted already.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Counter {
    /// The provider's name.
    pub provider: String,
    /// What span.
    pub period: Period,
    /// Its first millisecond.
    pub starts_ms: i64,
    /// The stream's shard.
    pub shard: String,
}

/// Longest sequence number that DynamoDB documents.
const SEQUENCE_DIGITS: usize = 40;

impl Period {
    /// Every span that is counted.
    pub const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// How long it is, in milliseconds.
    pub fn length_ms(self) -> i64 {
        match self {
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
            Self::Day => 86_400_000,
        }
    }

    /// The first millisecond of the span that a moment lies in.
    pub fn start_of(self, at_ms: i64) -> i64 {
        at_ms.div_euclid(self.length_ms()) * self.length_ms()
    }

    fn keys(self, provider: &str, starts_ms: i64) -> (String, String) {
        let at = Timestamp::from_millisecond(starts_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        let at = Offset::UTC.to_datetime(at);
        let day = format!("{:04}{:02}{:02}", at.year(), at.month(), at.day());
        match self {
            Self::Minute => (format!("{provider}#m#{day}{:02}", at.hour()), format!("{:02}", at.minute())),
            Self::Hour => (format!("{provider}#h#{day}"), format!("{:02}", at.hour())),
            Self::Day => (format!("{provider}#d"), day),
        }
    }

    fn kept_seconds(self) -> i64 {
        match self {
            Self::Minute | Self::Hour => 32 * 86_400,
            Self::Day => 400 * 86_400,
        }
    }
}

/// Sequence numbers are decimal and of different lengths; padded, they compare as text.
fn padded(sequence: &str) -> String {
    format!("{sequence:0>SEQUENCE_DIGITS$}")
}

impl Table {
    /// Adds to a counter, unless it has counted `first` or anything later already. The batch's parts run from `first`
    /// to `last`.
    pub async fn add_figures(
        &self,
        counter: &Counter,
        deltas: &Deltas,
        first: &str,
        last: &str,
    ) -> Result<Written, TableError> {
        let (pk, sk) = counter.period.keys(&counter.provider, counter.starts_ms);
        let mut update = self
            .client
            .update_item()
            .table_name(&self.figures)
            .key("pk", text(pk))
            .key("sk", text(format!("{sk}#{}", counter.shard)))
            .condition_expression("attribute_not_exists(sq) OR sq < :first")
            .expression_attribute_values(":first", text(padded(first)))
            .expression_attribute_values(":last", text(padded(last)))
            .expression_attribute_values(
                ":x",
                number(counter.starts_ms / 1_000 + counter.period.kept_seconds()),
            )
            .expression_attribute_names("#x", EXPIRES);
        let mut additions = Vec::new();
        for (position, (name, amount)) in deltas.iter().enumerate() {
            additions.push(format!("#n{position} :n{position}"));
            update = update
                .expression_attribute_names(format!("#n{position}"), name)
                .expression_attribute_values(format!(":n{position}"), number(amount));
        }
        let mut expression = "SET sq = :last, #x = :x".to_owned();
        if !additions.is_empty() {
            expression = format!("{expression} ADD {}", additions.join(", "));
        }
        conditional(
            update.update_expression(expression).send().await.map_err(TableError::new("add up figures")),
        )
    }

    /// The last sequence number that a counter has counted, without leading zeros; none, if it has counted nothing.
    pub async fn counted_up_to(&self, counter: &Counter) -> Result<Option<String>, TableError> {
        let action = "read a figure";
        let (pk, sk) = counter.period.keys(&counter.provider, counter.starts_ms);
        let answer = self
            .client
            .get_item()
            .table_name(&self.figures)
            .key("pk", text(pk))
            .key("sk", text(format!("{sk}#{}", counter.shard)))
            .consistent_read(true)
            .send()
            .await
            .map_err(TableError::new(action))?;
        let Some(item) = answer.item else { return Ok(None) };
        let sequence = Reader { action, item: &item }.text("sq").map(|digits| digits.trim_start_matches('0'));
        Ok(sequence.map(str::to_owned))
    }

    /// A provider's figures over `[from, to)`, one entry a span that has any, the earliest first.
    pub async fn figures(
        &self,
        provider: &str,
        period: Period,
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<(i64, Deltas)>, TableError> {
        let mut found = std::collections::BTreeMap::<i64, Deltas>::new();
        let mut start = period.start_of(from_ms);
        while start < to_ms {
            let (pk, first) = period.keys(provider, start);
            // A partition holds an hour of minutes, a day of hours, or all days.
            let end = match period {
                Period::Minute => to_ms.min(Period::Hour.start_of(start) + Period::Hour.length_ms()),
                Period::Hour => to_ms.min(Period::Day.start_of(start) + Period::Day.length_ms()),
                Period::Day => to_ms,
            };
            let last = period.keys(provider, period.start_of(end - 1)).1;
            for item in self.figure_items(&pk, &first, &last).await? {
                let reader = Reader { action: "read figures", item: &item };
                let sk = reader.must("sk", reader.text("sk"))?;
                let starts_ms =
                    period.starts_ms(&pk, sk).ok_or_else(|| TableError::corrupt("read figures", "sk"))?;
                let deltas = found.entry(starts_ms).or_default();
                for (name, value) in &item {
                    if !matches!(name.as_str(), "pk" | "sk" | "sq" | EXPIRES)
                        && let Some(amount) = value.as_n().ok().and_then(|digits| digits.parse().ok())
                    {
                        deltas.add(name.clone(), amount);
                    }
                }
            }
            start = end;
        }
        Ok(found.into_iter().collect())
    }

    async fn figure_items(&self, pk: &str, first: &str, last: &str) -> Result<Vec<Item>, TableError> {
        let mut items = Vec::new();
        let mut from = None;
        loop {
            let answer = self
                .client
                .query()
                .table_name(&self.figures)
                .key_condition_expression("pk = :pk AND sk BETWEEN :first AND :last")
                .expression_attribute_values(":pk", text(pk))
                .expression_attribute_values(":first", text(first))
                // Above every shard of the last span: `#` and the shard follow.
                .expression_attribute_values(":last", text(format!("{last}$")))
                .set_exclusive_start_key(from)
                .send()
                .await
                .map_err(TableError::new("read figures"))?;
            items.extend(answer.items.unwrap_or_default());
            from = answer.last_evaluated_key;
            if from.is_none() {
                return Ok(items);
            }
        }
    }
}

impl Period {
    fn starts_ms(self, pk: &str, sk: &str) -> Option<i64> {
        let span = sk.split('#').next()?;
        let stamp = match self {
            Self::Minute => format!("{}{span}", pk.rsplit('#').next()?),
            Self::Hour => format!("{}{span}00", pk.rsplit('#').next()?),
            Self::Day => format!("{span}0000"),
        };
        let part = |range: std::ops::Range<usize>| stamp.get(range);
        let text =
            format!("{}-{}-{}T{}:{}:00Z", part(0..4)?, part(4..6)?, part(6..8)?, part(8..10)?, part(10..12)?);
        text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_found_again_from_its_keys() {
        for (period, starts_ms) in [
            (Period::Minute, 1_795_474_980_000),
            (Period::Hour, 1_795_474_800_000),
            (Period::Day, 1_795_392_000_000),
        ] {
            let (pk, sk) = period.keys("square", starts_ms);
            assert_eq!(period.starts_ms(&pk, &format!("{sk}#shardId-1")), Some(starts_ms));
            assert_eq!(period.start_of(starts_ms + 59_999), starts_ms);
        }
    }

    #[test]
    fn sequence_numbers_of_any_length_compare_as_text() {
        assert!(padded("999") < padded("1000"));
        assert!(padded("4421584500000000017450439091") < padded("4421584500000000017450439092"));
    }
}
