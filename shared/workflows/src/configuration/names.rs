//! Known names, and which of them was meant by one that is not known.

/// A question for the known name that is most like `name`; else the list of them, if it is short.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let known: Vec<_> = known.into_iter().collect();
    match nearest(name, known.iter().copied()) {
        Some(nearest) => Some(format!("Did you mean \"{nearest}\"?")),
        None if known.is_empty() || known.len() > 20 => None,
        None => Some(listed(known)),
    }
}

/// A sentence that lists what there is.
pub fn listed<'a>(known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<_> = known.into_iter().collect();
    match known.as_slice() {
        [only] => format!("There is only \"{only}\""),
        _ => format!("There are: {}", known.join(", ")),
    }
}

/// The known name that is most like `name`, if one is like it at all: a third of it may differ, or one be the beginning
/// of the other.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Nobody mistypes a name of that length, and comparing takes the square of it.
    if name.len() > 100 {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace(['-', ' '], "_");
    let name = plain(name);
    let begins = |known: &str| {
        name.len() >= 3 && known.starts_with(&name) || known.len() >= 3 && name.starts_with(known)
    };
    known
        .into_iter()
        .map(|known| (strsim::osa_distance(&name, &plain(known)), known))
        .filter(|(distance, known)| *distance <= name.chars().count().max(3) / 3 || begins(known))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["merchant_id", "location_id", "access_token", "id"];

    #[test]
    fn a_name_that_is_mistyped_or_cut_short_is_recognised() {
        for (name, expected) in [
            ("merchant", Some("merchant_id")),
            ("MerchantID", Some("merchant_id")),
            ("merchant-id", Some("merchant_id")),
            ("acess_token", Some("access_token")),
            ("locaiton_id", Some("location_id")),
            ("colour", None),
            ("x", None),
        ] {
            assert_eq!(nearest(name, KNOWN), expected, "{name}");
        }
    }

    #[test]
    fn what_is_like_nothing_is_answered_with_what_there_is() {
        let meant = did_you_mean("colour", KNOWN).unwrap();
        assert_eq!(meant, "There are: merchant_id, location_id, access_token, id");
        assert_eq!(did_you_mean("colour", []), None);
    }

    #[test]
    fn names_of_any_length_and_alphabet_are_taken() {
        assert_eq!(nearest(&"m".repeat(1_000_000), KNOWN), None);
        assert_eq!(nearest("ünïcödé", KNOWN), None);
        assert_eq!(nearest("", KNOWN), None);
    }
}
