//! The examples of `docs/http.md`, run in order: each `$ curl …` asked as curl would, and its answer compared. `…` is
//! anything.

use crate::{home::Home, http::ask};

const DOCUMENT: &str = include_str!("../../../docs/http.md");

/// The words of a command, as a shell cuts it. Only single quotes are known.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for sign in command.chars() {
        match sign {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            sign => words.last_mut().unwrap().push(sign),
        }
    }
    words
}

/// Asks what the command asks, with those of curl's options that the document uses.
fn run(home: &Home, command: &str) -> String {
    let mut words = words(command).into_iter();
    assert_eq!(words.next().as_deref(), Some("curl"));
    let (mut method, mut body, mut lines, mut url) = (None, None, Vec::new(), None);
    while let Some(word) = words.next() {
        match word.as_str() {
            "-X" => method = words.next(),
            "-d" | "--data-binary" => body = words.next(),
            "-H" => {
                let line = words.next().unwrap();
                let (name, value) = line.split_once(": ").unwrap();
                lines.push((name.to_owned(), value.to_owned()));
            }
            _ => url = Some(word),
        }
    }
    let url = url.unwrap();
    let path = url.strip_prefix("http://127.0.0.1:8080").unwrap();
    let default = if body.is_some() { "POST" } else { "GET" };
    let lines: Vec<_> = lines
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let method = method.as_deref().unwrap_or(default);
    let answer = ask(home.port, method, path, &lines, body.unwrap_or_default());
    answer.text().to_owned()
}

/// Whether `text` is `pattern`, in which each `…` stands for any text.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts: Vec<&str> = pattern.split('…').collect();
    let last = parts.pop().unwrap();
    let Some(first) = parts.first() else {
        return text == last;
    };
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    for part in &parts[1..] {
        let Some((_, behind)) = rest.split_once(part) else {
            return false;
        };
        rest = behind;
    }
    rest.ends_with(last)
}

#[test]
fn its_examples_are_true() {
    let home = Home::new(1);
    home.post("/cluster/start", "");
    let mut examples = 0;
    let mut lines = DOCUMENT.lines();
    while let Some(line) = lines.next() {
        if let Some(command) = line.strip_prefix("$ ") {
            let expected = lines.next().unwrap();
            let answer = run(&home, command);
            assert!(
                fits(expected, &answer),
                "{command}\nexpected {expected}\ngot      {answer}"
            );
            examples += 1;
        }
    }
    assert!(examples > 10, "the examples were found");
}

#[test]
fn a_pattern_fits_what_it_should() {
    assert!(fits("a…c", "abc") && fits("a…c…e", "abcde") && fits("same", "same"));
    assert!(!fits("a…c", "abd") && !fits("same", "same too") && !fits("a…c…e", "abde"));
}
