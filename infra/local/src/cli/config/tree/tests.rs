use super::*;

/// What is wrong with a text, each with its line and column.
fn wrong(source: &str) -> Vec<String> {
    wrong_bytes(source.as_bytes())
}

fn wrong_bytes(bytes: &[u8]) -> Vec<String> {
    let findings = match text(bytes) {
        Ok(text) => parse(text).findings,
        Err(finding) => vec![finding],
    };
    let said = |finding: &Finding| format!("{}:{}: {}", finding.at.line, finding.at.column, finding.text);
    findings.iter().map(said).collect()
}

fn map(node: &Node) -> &[Entry] {
    match &node.what {
        What::Map(entries) => entries,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_written_is_kept_to_the_letter_with_its_place() {
    let tree = parse("phone: +30 1\r\nid: 0123\r\n\"quoted\": \"null\"\r\nnothing: ~\r\nempty:\r\n");
    let root = tree.root.unwrap();
    let shown: Vec<_> = map(&root)
        .iter()
        .map(|entry| (entry.name.as_str(), format!("{:?}", entry.value.what), entry.at, entry.value.at))
        .collect();
    let at = |line, column| Position { line, column };
    assert_eq!(
        shown,
        [
            ("phone", "Text(\"+30 1\")".into(), at(1, 1), at(1, 8)),
            ("id", "Text(\"0123\")".into(), at(2, 1), at(2, 5)),
            ("quoted", "Text(\"null\")".into(), at(3, 1), at(3, 11)),
            ("nothing", "Nothing".into(), at(4, 1), at(4, 10)),
            ("empty", "Nothing".into(), at(5, 1), shown[4].3),
        ]
    );
}

#[test]
fn placeholders_may_be_written_without_quotes_and_with_quotes_in_quotes() {
    let source = "a: {{ env \"A\" }}\nb: \"{{ env \"B\" }}/x\"\nc: '{{ env `C` }}'\nd: [{{env `D`}}, e]\n";
    let tree = parse(source);
    assert_eq!(tree.findings, []);
    let root = tree.root.unwrap();
    let values: Vec<_> = map(&root).iter().map(|entry| format!("{:?}", entry.value.what)).collect();
    assert_eq!(values[0], r#"Text("{{ env \"A\" }}")"#);
    assert_eq!(values[1], r#"Text("{{ env \"B\" }}/x")"#);
    assert_eq!(values[2], r#"Text("{{ env `C` }}")"#);
    assert!(values[3].contains("{{env `D`}}"));
}

#[test]
fn what_is_laid_under_a_map_adds_to_it_and_changes_nothing_in_it() {
    let tree = parse("x-a: &a {one: 1, two: 2}\nx-b: &b {two: 3, three: 3}\nc:\n  one: 0\n  <<: [*a, *b]\n");
    assert_eq!(tree.findings, []);
    let root = tree.root.unwrap();
    let merged: Vec<_> = map(&map(&root)[2].value)
        .iter()
        .map(|entry| (entry.name.as_str(), format!("{:?}", entry.value.what)))
        .collect();
    let text = |text: &str| format!("Text(\"{text}\")");
    assert_eq!(merged, [("one", text("0")), ("two", text("2")), ("three", text("3"))]);
}

#[test]
fn what_can_not_be_read_is_said_with_its_place() {
    for (source, expected) in [
        ("", "1:1: the file is empty. It must have \"locations\""),
        ("# nothing but this\n", "1:1: the file is empty. It must have \"locations\""),
        ("~\n", "1:1: the file is empty. It must have \"locations\""),
        ("a:\n\tb: c\n", "2:1: a tab can't indent here. Use spaces"),
        ("a: 1\nb: 2\na: 3\n", "3:1: \"a\" is said twice here"),
        ("a: \"never\n", "1:4: a quote that begins here is never closed"),
        ("a: [1, 2\n", "1:4: this \"[\" is never closed"),
        ("a: *b\n", "1:4: there is no anchor of this name above"),
        ("a: &a [*a]\n", "1:8: an anchor can't be used inside of itself"),
        ("a: &a\n  b: *a\n", "2:6: an anchor can't be used inside of itself"),
        ("a: !!binary eA==\n", "1:13: a tag (!…) means nothing here. Leave it out"),
        ("a: 1\n---\nb: 2\n", "2:1: a second document begins here. A configuration is one: take the --- out"),
        ("[a]: b\n", "1:1: a name must be a text, and not a list or a map"),
        ("{{ env \"A\" }}: b\n", "1:1: a name can't come from the environment, only a value"),
        ("a:\n  <<: 3\n", "2:7: only a map can be laid under by \"<<\""),
        ("a: \u{10fff3}\n", "1:4: this character can't be used here"),
    ] {
        assert_eq!(wrong(source), [expected], "{source:?}");
    }
}

#[test]
fn what_is_no_yaml_at_all_has_a_place_in_the_file() {
    for source in
        ["a: b: c\n", "a:\n  - b\n c\n", "a: }\n", "a: 'b\n\n\n", "- a\nb: c\n", "%YAML 1.2\n---\na: b\n"]
    {
        let said = wrong(source);
        let [said] = said.as_slice() else { panic!("{source:?}: {said:?}") };
        let line: usize = said.split(':').next().unwrap().parse().unwrap();
        assert!((1..=source.lines().count()).contains(&line), "{source:?}: {said}");
    }
}

#[test]
fn bytes_that_are_no_text_are_said_to_be_none() {
    assert_eq!(wrong_bytes(b"\xff\xfea\0"), ["1:1: the file is UTF-16. Save it as UTF-8"]);
    assert_eq!(
        wrong_bytes("a: ü\nb: ".bytes().chain([0xe4, 10]).collect::<Vec<_>>().as_slice()),
        ["2:4: the file is not UTF-8 from here on. Save it as UTF-8"]
    );
    assert_eq!(wrong_bytes(b"a: b\0\n").len(), 1);
    assert!(wrong_bytes(&vec![b'a'; LARGEST + 1])[0].contains("larger than 8 MiB"));
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_name() {
    let tree = parse(text(b"\xef\xbb\xbfa: b\n").unwrap());
    let root = tree.root.unwrap();
    assert_eq!((map(&root)[0].name.as_str(), map(&root)[0].at), ("a", Position { line: 1, column: 1 }));
}

#[test]
fn aliases_of_aliases_stop_where_they_become_too_many() {
    let mut source = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        source.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    let said = wrong(&source);
    assert!(said.len() == 1 && said[0].contains("aliases make this file far too large"), "{said:?}");
}

#[test]
fn depth_has_an_end() {
    let steps: Vec<_> = (0..200).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    for source in ["[".repeat(100_000), steps.concat()] {
        let said = wrong(&source);
        assert!(said.len() == 1 && said[0].ends_with("24 deep in each other, and not deeper"), "{said:?}");
    }
}

#[test]
fn of_two_values_under_one_name_the_first_is_kept() {
    let tree = parse("a: 1\na: 2\n");
    let root = tree.root.unwrap();
    let [entry] = map(&root) else { panic!() };
    assert!(matches!(&entry.value.what, What::Text(text) if text == "1"));
}
