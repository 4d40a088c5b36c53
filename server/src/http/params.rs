//! What a request says by name, in its query or in a JSON object, and what is wrong with that in the caller's words: a
//! refusal names the parameter and says what it takes.

use std::{fmt, ops::RangeInclusive};

use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::Value;
use wiber_protocol::line::{LineError, parse_seconds};

use super::{answer::Refusal, failure};

/// More of a wrong value is not repeated.
const MAX_SHOWN_CHARS: usize = 60;

/// What is read from parameters.
pub(crate) trait FromParams: Sized {
    /// All that there are.
    const NAMES: &'static [&'static str];
    /// Whether others are passed over, as in the older forms; else they are refused.
    const PASSES_OVER_OTHERS: bool = false;

    fn from_params(params: &Params) -> Result<Self, Refusal>;
}

/// Of a path that has none: whatever is said is refused, so that nobody believes it was heeded.
pub(crate) struct NoParams;

impl FromParams for NoParams {
    const NAMES: &'static [&'static str] = &[];

    fn from_params(_: &Params) -> Result<Self, Refusal> {
        Ok(Self)
    }
}

/// Names and values, each name once. A query's values are texts.
#[derive(Debug)]
pub(crate) struct Params {
    values: Vec<(String, Value)>,
    /// What one of them is called.
    noun: &'static str,
}

impl Params {
    pub(super) fn of_query(pairs: Vec<(String, String)>) -> Self {
        let value = |(name, text)| (name, Value::String(text));
        Self {
            values: pairs.into_iter().map(value).collect(),
            noun: "parameter",
        }
    }

    /// Reads a JSON object.
    pub(crate) fn read_json<T: FromParams>(json: &[u8]) -> Result<T, Refusal> {
        let Pairs(values) = serde_json::from_slice(json).map_err(|error| {
            let why = match error.classify() {
                // It may be JSON, but a number, a list, …
                serde_json::error::Category::Data => String::new(),
                _ => format!(" ({error})"),
            };
            let known = listed(T::NAMES, "and");
            Refusal::unreadable(format!("That is no JSON object with {known}{why}."))
        })?;
        Self { values, noun: "key" }.read()
    }

    pub(super) fn read<T: FromParams>(&self) -> Result<T, Refusal> {
        for (at, (name, _)) in self.values.iter().enumerate() {
            if !T::NAMES.contains(&name.as_str()) {
                if T::PASSES_OVER_OTHERS {
                    continue;
                }
                let (noun, name) = (self.noun, shown(name));
                let known = match T::NAMES {
                    [] => ", nor any other".to_owned(),
                    names => format!(", but {}", listed(names, "and")),
                };
                return Err(Refusal::unreadable(format!(
                    "There is no {noun} `{name}` here{known}."
                )));
            }
            if self.values[..at].iter().any(|(before, _)| before == name) {
                return Err(Refusal::unreadable(format!("`{name}` is there twice.")));
            }
        }
        T::from_params(self)
    }

    /// A JSON `null` is as good as nothing.
    fn get(&self, name: &str) -> Option<&Value> {
        let found = self.values.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value).filter(|value| !value.is_null())
    }

    /// What `read` makes of a value that is there; where it is `None`, the value is refused.
    fn parsed<T>(
        &self,
        name: &str,
        takes: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        if let Some(read) = read(value) {
            return Ok(Some(read));
        }
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), ToOwned::to_owned);
        let text = shown(&text);
        Err(Refusal::unreadable(format!("`{name}` is {takes}, not `{text}`.")))
    }

    fn required<T>(name: &str, takes: &str, value: Option<T>) -> Result<T, Refusal> {
        value.ok_or_else(|| Refusal::unreadable(format!("`{name}` is missing: {takes}.")))
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, Refusal> {
        self.parsed(name, "a text", |value| value.as_str().map(ToOwned::to_owned))
    }

    pub(crate) fn required_text(&self, name: &str) -> Result<String, Refusal> {
        Self::required(name, "a text", self.text(name)?)
    }

    /// A text that the protocol has a rule for.
    pub(crate) fn checked(
        &self,
        name: &str,
        check: fn(&str) -> Result<(), LineError>,
    ) -> Result<Option<String>, Refusal> {
        let text = self.text(name)?;
        if let Some(Err(error)) = text.as_deref().map(check) {
            let why = failure::sentence(&error.to_string());
            return Err(Refusal::unreadable(format!("`{name}`: {why}.")));
        }
        Ok(text)
    }

    /// A whole number; of a query, one beyond 64 bits is as good as the largest.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        self.number_in(name, 0..=u64::MAX)
    }

    pub(crate) fn required_number(&self, name: &str) -> Result<u64, Refusal> {
        Self::required(name, "a whole number from 0 up", self.number(name)?)
    }

    pub(crate) fn number_in(&self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, Refusal> {
        let takes = match (range.start(), range.end()) {
            (first, &u64::MAX) => format!("a whole number from {first} up"),
            (first, last) => format!("a whole number from {first} to {last}"),
        };
        let read = |value: &Value| match value {
            Value::String(text) if self.noun == "parameter" => whole(text),
            other => other.as_u64(),
        };
        self.parsed(name, &takes, |value| {
            read(value).filter(|number| range.contains(number))
        })
    }

    /// Absent, it is false.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Refusal> {
        let flag = self.one_of(name, &[("true", true), ("false", false)])?;
        Ok(flag.unwrap_or(false))
    }

    /// One of some words.
    pub(crate) fn one_of<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Result<Option<T>, Refusal> {
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        self.parsed(name, &listed(&names, "or"), |value| {
            let said = value.as_str()?;
            words
                .iter()
                .find(|(word, _)| *word == said)
                .map(|(_, value)| *value)
        })
    }

    /// A moment in microseconds since the Unix epoch.
    pub(crate) fn seconds(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let takes = "a time in Unix seconds, such as 1795378200.123456";
        self.parsed(name, takes, |value| parse_seconds(value.as_str()?).ok())
    }
}

fn whole(text: &str) -> Option<u64> {
    let is_whole = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_whole.then(|| text.parse().unwrap_or(u64::MAX))
}

/// `a`, `b` and `c`.
fn listed(names: &[&str], before_last: &str) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match &quoted[..] {
        [] => "none".to_owned(),
        [one] => one.clone(),
        [firsts @ .., last] => format!("{} {before_last} {last}", firsts.join(", ")),
    }
}

/// Its beginning, if it is long.
fn shown(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A JSON object as it was written: a map would hide a key that is there twice.
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;

        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(PairsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use wiber_protocol::line::check_topic;

    use super::*;

    /// As many kinds of parameters as there are.
    #[derive(Debug, PartialEq)]
    struct Kinds {
        text: Option<String>,
        topic: Option<String>,
        number: Option<u64>,
        few: Option<u64>,
        flag: bool,
        word: Option<u8>,
        since: Option<i64>,
    }

    impl FromParams for Kinds {
        const NAMES: &'static [&'static str] = &["text", "topic", "number", "few", "flag", "word", "since"];

        fn from_params(params: &Params) -> Result<Self, Refusal> {
            Ok(Self {
                text: params.text("text")?,
                topic: params.checked("topic", check_topic)?,
                number: params.number("number")?,
                few: params.number_in("few", 1..=9)?,
                flag: params.flag("flag")?,
                word: params.one_of("word", &[("one", 1), ("two", 2)])?,
                since: params.seconds("since")?,
            })
        }
    }

    fn query(pairs: &[(&str, &str)]) -> Result<Kinds, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let params = Params::of_query(pairs.iter().map(owned).collect());
        params.read().map_err(Refusal::into_detail)
    }

    #[test]
    fn a_query_is_read_by_name() {
        let read = query(&[
            ("text", ""),
            ("topic", "a/b"),
            ("number", "99999999999999999999"),
            ("few", "9"),
            ("flag", "true"),
            ("word", "two"),
            ("since", "1.5"),
        ]);
        let expected = Kinds {
            text: Some(String::new()),
            topic: Some("a/b".to_owned()),
            number: Some(u64::MAX),
            few: Some(9),
            flag: true,
            word: Some(2),
            since: Some(1_500_000),
        };
        assert_eq!(read, Ok(expected));
        let nothing = query(&[]).unwrap();
        assert_eq!((nothing.text, nothing.flag), (None, false));
    }

    #[test]
    fn what_is_wrong_is_named_with_what_it_takes() {
        let check = |name: &str, value: &str, expected: &str| {
            assert_eq!(query(&[(name, value)]).unwrap_err(), expected);
        };
        check("number", "x", "`number` is a whole number from 0 up, not `x`.");
        check("number", "-1", "`number` is a whole number from 0 up, not `-1`.");
        check("number", "", "`number` is a whole number from 0 up, not ``.");
        check("few", "0", "`few` is a whole number from 1 to 9, not `0`.");
        check("flag", "yes", "`flag` is `true` or `false`, not `yes`.");
        check("word", "three", "`word` is `one` or `two`, not `three`.");
        check(
            "since",
            "yesterday",
            "`since` is a time in Unix seconds, such as 1795378200.123456, not `yesterday`.",
        );
        check(
            "topic",
            "two words",
            "`topic`: a topic has 1 to 249 bytes and no white space or control characters.",
        );
        check(
            "nubmer",
            "1",
            "There is no parameter `nubmer` here, but `text`, `topic`, `number`, `few`, `flag`, `word` and `since`.",
        );
        let twice = query(&[("few", "1"), ("text", "a"), ("few", "1")]);
        assert_eq!(twice.unwrap_err(), "`few` is there twice.");
        let long = query(&[("few", &"ü".repeat(10_000))]).unwrap_err();
        assert_eq!(long.chars().filter(|sign| *sign == 'ü').count(), MAX_SHOWN_CHARS);
    }

    #[test]
    fn where_there_are_no_parameters_each_is_refused() {
        let read = |pairs: &[(&str, &str)]| {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            let params = Params::of_query(pairs.iter().map(owned).collect());
            params
                .read::<NoParams>()
                .map(|NoParams| ())
                .map_err(Refusal::into_detail)
        };
        assert_eq!(read(&[]), Ok(()));
        let refused = Err("There is no parameter `dry_run` here, nor any other.".to_owned());
        assert_eq!(read(&[("dry_run", "1")]), refused);
        assert_eq!(read(&[("dry_run", "1"), ("dry_run", "1")]), refused);
    }

    #[derive(Debug, PartialEq)]
    struct Body {
        offset: u64,
        text: String,
        more: Option<String>,
    }

    impl FromParams for Body {
        const NAMES: &'static [&'static str] = &["offset", "text", "more"];

        fn from_params(params: &Params) -> Result<Self, Refusal> {
            Ok(Self {
                offset: params.required_number("offset")?,
                text: params.required_text("text")?,
                more: params.text("more")?,
            })
        }
    }

    #[test]
    fn a_json_object_is_read_likewise_and_its_numbers_are_numbers() {
        let read = |json: &str| Params::read_json::<Body>(json.as_bytes()).map_err(Refusal::into_detail);
        let expected = Body {
            offset: 3,
            text: "hi".to_owned(),
            more: None,
        };
        assert_eq!(read(r#" {"text":"hi","more":null,"offset":3}"#), Ok(expected));
        let check = |json: &str, expected: &str| assert_eq!(read(json).unwrap_err(), expected);
        check("{}", "`offset` is missing: a whole number from 0 up.");
        check(
            r#"{"offset":null}"#,
            "`offset` is missing: a whole number from 0 up.",
        );
        check(r#"{"offset":1}"#, "`text` is missing: a text.");
        check(
            r#"{"offset":"1"}"#,
            "`offset` is a whole number from 0 up, not `1`.",
        );
        check(
            r#"{"offset":1.5}"#,
            "`offset` is a whole number from 0 up, not `1.5`.",
        );
        check(r#"{"offset":1,"text":[1]}"#, "`text` is a text, not `[1]`.");
        check(r#"{"offset":1,"offset":2}"#, "`offset` is there twice.");
        check(
            r#"{"to":1}"#,
            "There is no key `to` here, but `offset`, `text` and `more`.",
        );
        let no_object = "That is no JSON object with `offset`, `text` and `more`";
        check("[1]", &format!("{no_object}."));
        let cut_off = read("{\"offset\":").unwrap_err();
        assert!(
            cut_off.starts_with(&format!("{no_object} (EOF while parsing")),
            "{cut_off}"
        );
    }
}
