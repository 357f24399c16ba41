//! `{{ env "NAME" }}`: values that come from the environment.
//!
//! They are filled in once the file is read as YAML, so that no value can change what the file says. But they may be
//! written as if it were before: without quotes, and with quotes inside of quotes, as the templates do that people know
//! them from. So each is put out of YAML's sight first, character by character, which leaves lines and columns alone.

/// What YAML would act upon, and what stands for it meanwhile: characters for private use, which no file needs.
const VEILS: [(char, char); 6] = [
    ('{', '\u{10fff0}'),
    ('}', '\u{10fff1}'),
    ('"', '\u{10fff2}'),
    ('`', '\u{10fff3}'),
    (' ', '\u{10fff4}'),
    ('\t', '\u{10fff5}'),
];
/// Other characters that YAML acts upon are none of a placeholder's, and it is left as it is.
const FOREIGN: &[char] = &['\n', '\r', '{', '}'];
/// More characters than a placeholder has.
const LONGEST: usize = 300;

/// Puts the placeholders of a file out of YAML's sight.
pub(super) fn veiled(text: &str) -> String {
    let mut veiled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        let (before, from) = rest.split_at(start);
        veiled.push_str(before);
        let inside = &from[2..];
        let end = inside.find(FOREIGN).filter(|end| *end < LONGEST && inside[*end..].starts_with("}}"));
        let length = end.map_or(1, |end| end + 4);
        let (placeholder, after) = from.split_at(length);
        match end {
            Some(_) => veiled.extend(placeholder.chars().map(veil)),
            None => veiled.push_str(placeholder),
        }
        rest = after;
    }
    veiled.push_str(rest);
    veiled
}

fn veil(c: char) -> char {
    VEILS.iter().find(|(plain, _)| *plain == c).map_or(c, |(_, veil)| *veil)
}

/// The text as it was.
pub(super) fn unveiled(text: &str) -> String {
    let unveil = |c| VEILS.iter().find(|(_, veil)| *veil == c).map_or(c, |(plain, _)| *plain);
    text.chars().map(unveil).collect()
}

/// Where a character stands that must not be in a file, because it is one of those that are put for others.
pub(super) fn taken(text: &str) -> Option<usize> {
    text.find(|c| VEILS.iter().any(|(_, veil)| *veil == c))
}

/// A part of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// As it is.
    Text(&'a str),
    /// The value of the variable of that name.
    Variable(&'a str),
}

/// The parts of a value, or what is wrong with a placeholder in it.
pub(super) fn pieces(value: &str) -> Result<Vec<Piece<'_>>, &'static str> {
    let mut pieces = Vec::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("{{") {
        if !before.is_empty() {
            pieces.push(Piece::Text(before));
        }
        let Some((inside, after)) = after.split_once("}}") else {
            return Err("\"{{\" is never closed. Write {{ env \"NAME\" }}");
        };
        pieces.push(Piece::Variable(variable(inside.trim())?));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    Ok(pieces)
}

/// The variable's name in `env "NAME"`.
fn variable(inside: &str) -> Result<&str, &'static str> {
    const FORM: &str = "only {{ env \"NAME\" }} can stand between {{ and }}";
    let quoted = inside.strip_prefix("env").ok_or(FORM)?.trim_start();
    let quote = quoted.chars().next().filter(|c| matches!(c, '"' | '`')).ok_or(FORM)?;
    let (name, after) = quoted[1..].split_once(quote).ok_or(FORM)?;
    if !after.trim().is_empty() {
        return Err(
            "a variable can't have a default. Set it, or leave the setting out to have the setting's default",
        );
    }
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let is_name = name.starts_with(first) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then_some(name).ok_or("the name of a variable has only letters, digits and _, and no digit first")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn placeholders_leave_nothing_to_yaml_and_come_back_as_they_were() {
        let text = "a: {{ env \"A\" }}\nb: \"{{env `B`}}/{{ env \"C\" }}\"\nc: {d: {e: f}}\n";
        let veiled = veiled(text);
        assert_eq!(veiled.chars().count(), text.chars().count());
        assert!(!veiled.lines().next().unwrap().contains(['{', '"', '}']));
        assert!(veiled.ends_with("c: {d: {e: f}}\n"));
        assert_eq!(unveiled(&veiled), text);
    }

    #[test]
    fn a_value_has_several_variables_and_text_between_them() {
        assert_eq!(
            pieces("https://{{ env \"HOST\" }}/{{env `PATH`}}?x"),
            Ok(vec![
                Piece::Text("https://"),
                Piece::Variable("HOST"),
                Piece::Text("/"),
                Piece::Variable("PATH"),
                Piece::Text("?x"),
            ])
        );
        assert_eq!(pieces("plain } { text }}"), Ok(vec![Piece::Text("plain } { text }}")]));
    }

    #[test]
    fn anything_else_is_refused() {
        for wrong in [
            "{{ NAME }}",
            "{{ env NAME }}",
            "{{ env 'NAME' }}",
            "{{ env \"NAME` }}",
            "{{ env \"NAME\" \"default\" }}",
            "{{ env \"NAME\" | default \"x\" }}",
            "{{ env \"\" }}",
            "{{ env \"1A\" }}",
            "{{ env \"A B\" }}",
            "{{ env \"A=B\" }}",
            "{{- env \"NAME\" -}}",
            "{{ env \"NAME\"",
            "{{}}",
            "{{",
        ] {
            assert!(pieces(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in r#"([{}"`a é\n\t]|\{\{|\}\}|env ){0,40}"#) {
            prop_assert_eq!(unveiled(&veiled(&text)), text);
        }

        #[test]
        fn any_value_is_taken_apart_or_refused(value in ".{0,60}") {
            let _ = pieces(&value);
        }
    }
}
