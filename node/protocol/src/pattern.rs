//! Which topics a subscription is about.
//!
//! A pattern looks like a topic's name: parts separated by `.`, where a part `*` stands for any one part and a last
//! part `>` for one or more. A name without such parts is a pattern that only it matches. The signs are those of NATS
//! subjects, and so is their meaning.

/// A topic's name, or a pattern of names. A single word, as names are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(String);

/// `>` stands somewhere else than at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("in a pattern > is the last part: it stands for all that follow")]
pub struct MisplacedRest;

const ANY_PART: &str = "*";
const REST: &str = ">";

impl Pattern {
    pub fn new(text: &str) -> Result<Self, MisplacedRest> {
        let mut parts = text.split('.').rev();
        parts.next();
        if parts.any(|part| part == REST) {
            return Err(MisplacedRest);
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether one name alone matches.
    pub fn is_literal(&self) -> bool {
        !self.0.split('.').any(|part| part == ANY_PART || part == REST)
    }

    pub fn matches(&self, topic: &str) -> bool {
        let mut parts = topic.split('.');
        for wanted in self.0.split('.') {
            match (wanted, parts.next()) {
                (REST, Some(_)) => return true,
                (ANY_PART, Some(_)) => {}
                (wanted, Some(part)) if wanted == part => {}
                _ => return false,
            }
        }
        parts.next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, topic: &str) -> bool {
        Pattern::new(pattern).expect("a pattern").matches(topic)
    }

    #[test]
    fn a_star_is_one_part_and_the_rest_is_one_or_more() {
        for (pattern, topics, others) in [
            ("orders", &["orders"][..], &["orders.eu", "order", "Orders"][..]),
            (
                "orders.*",
                &["orders.eu", "orders."],
                &["orders", "orders.eu.new", "x.eu"],
            ),
            ("*.eu", &["orders.eu"], &["eu", "orders.eu.new"]),
            (
                "orders.*.new",
                &["orders.eu.new"],
                &["orders.new", "orders.eu.old"],
            ),
            (
                "orders.>",
                &["orders.eu", "orders.eu.new"],
                &["orders", "ordersx.eu"],
            ),
            (">", &["a", "a.b", "dm:a:b"], &[]),
            ("*", &["a", "dm:a:b"], &["a.b"]),
            ("a.*b", &["a.*b"], &["a.xb"]),
        ] {
            for topic in topics {
                assert!(matches(pattern, topic), "{pattern} {topic}");
            }
            for topic in others {
                assert!(!matches(pattern, topic), "{pattern} {topic}");
            }
        }
    }

    #[test]
    fn the_rest_stands_at_the_end() {
        assert!(Pattern::new("a.>.b").is_err() && Pattern::new(">.a").is_err());
        assert!(Pattern::new("a.>").is_ok() && Pattern::new("a.>b.c").is_ok());
    }

    proptest! {
        #[test]
        fn a_name_matches_itself_and_what_it_is_made_of(parts in proptest::collection::vec("[a-z]{0,3}", 1..5), at: prop::sample::Index) {
            let topic = parts.join(".");
            prop_assert!(matches(&topic, &topic));
            prop_assert!(Pattern::new(&topic).expect("a name").is_literal());
            let at = at.index(parts.len());
            let mut with_star = parts.clone();
            with_star[at] = ANY_PART.to_owned();
            prop_assert!(matches(&with_star.join("."), &topic));
            let mut with_rest = parts[..at].to_vec();
            with_rest.push(REST.to_owned());
            prop_assert!(matches(&with_rest.join("."), &topic));
        }
    }
}
