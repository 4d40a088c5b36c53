//! What a node prints, as coloured text and nothing else.
//!
//! A log line may hold whatever a client or an error put there. A terminal would obey control sequences in it:
//! move the cursor, retitle the window, open links. Here *select graphic rendition* (`ESC [ … m`, ECMA-48
//! §8.3.117) changes ink and weight; every other sequence is read to its end by the rules of ECMA-48 and
//! dropped, and so is every control and bidirectional-override character. Each line starts plain, so that a
//! colour nobody ended stays in its line.

use std::fmt::Write as _;

/// The most characters of one line that are shown; the rest is replaced by an ellipsis.
pub const LINE_CHARS: usize = 4_000;

/// The eight inks of a terminal; bright ones are drawn as their plain sisters, in bold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ink {
    Black,
    Red,
    Green,
    Yellow,
    Blue,
    Magenta,
    Cyan,
    White,
}

impl Ink {
    const ALL: [Self; 8] = [
        Self::Black,
        Self::Red,
        Self::Green,
        Self::Yellow,
        Self::Blue,
        Self::Magenta,
        Self::Cyan,
        Self::White,
    ];

    /// The ink of a palette number below 16, and whether it is a bright one.
    fn of_palette(number: u16) -> Option<(Self, bool)> {
        let ink = Self::ALL.get(usize::from(number % 8))?;
        (number < 16).then_some((*ink, number >= 8))
    }

    /// The ink nearest in hue to a colour; greys are left plain, because paper decides what is readable.
    fn of_rgb(red: u16, green: u16, blue: u16) -> Option<Self> {
        let strongest = red.max(green).max(blue);
        if strongest - red.min(green).min(blue) < 40 {
            return None;
        }
        let present = |part: u16| usize::from(part * 3 > strongest * 2);
        Self::ALL
            .get(present(red) | present(green) << 1 | present(blue) << 2)
            .copied()
    }

    fn class(self) -> &'static str {
        match self {
            Self::Black => "k",
            Self::Red => "r",
            Self::Green => "g",
            Self::Yellow => "y",
            Self::Blue => "b",
            Self::Magenta => "v",
            Self::Cyan => "c",
            Self::White => "w",
        }
    }
}

/// How a piece of text is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the four are independent of one another in ECMA-48 too"
)]
pub struct Style {
    pub ink: Option<Ink>,
    pub bold: bool,
    pub dim: bool,
    pub italic: bool,
    pub underline: bool,
}

/// Some text in one style; never empty, never with control characters other than the tab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub style: Style,
    pub text: String,
}

/// Reads one line.
pub fn parse(line: &str) -> Vec<Span> {
    let mut painter = Painter::default();
    let mut chars = line.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\u{1b}' => match chars.peek().copied() {
                Some('[') => {
                    chars.next();
                    control_sequence(&mut chars, &mut painter.style);
                }
                Some(']' | 'P' | 'X' | '^' | '_') => {
                    chars.next();
                    control_string(&mut chars);
                }
                _ => escape_sequence(&mut chars),
            },
            '\u{9b}' => control_sequence(&mut chars, &mut painter.style),
            '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => control_string(&mut chars),
            _ if is_dropped(char) => {}
            _ => {
                if !painter.put(char) {
                    break;
                }
            }
        }
    }
    painter.spans
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

#[derive(Default)]
struct Painter {
    style: Style,
    spans: Vec<Span>,
    chars: usize,
}

impl Painter {
    /// Adds one character; false when the line is full.
    fn put(&mut self, char: char) -> bool {
        self.chars += 1;
        let full = self.chars > LINE_CHARS;
        let char = if full { '…' } else { char };
        match self.spans.last_mut() {
            Some(span) if span.style == self.style => span.text.push(char),
            _ => self.spans.push(Span {
                style: self.style,
                text: char.to_string(),
            }),
        }
        !full
    }
}

/// Controls other than the tab, and what reorders or hides text (Unicode TR 9 §2, TR 36 §3.1).
fn is_dropped(char: char) -> bool {
    (char.is_control() && char != '\t')
        || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// After `CSI`: parameters, intermediates, one final byte. A character that has no place in a sequence ends it
/// and is read as usual.
fn control_sequence(chars: &mut Chars<'_>, style: &mut Style) {
    let mut parameters = String::new();
    let mut private = false;
    while let Some(char) = chars.peek().copied() {
        match char {
            '0'..='9' | ';' | ':' => parameters.push(char),
            '<'..='?' | ' '..='/' => private = true,
            '@'..='~' => {
                chars.next();
                if char == 'm' && !private {
                    select_graphic_rendition(&parameters, style);
                }
                return;
            }
            _ => return,
        }
        chars.next();
    }
}

/// After `OSC`, `DCS`, `SOS`, `PM` or `APC`: everything up to the bell or the string terminator, or the end.
fn control_string(chars: &mut Chars<'_>) {
    while let Some(char) = chars.next() {
        match char {
            '\u{7}' | '\u{9c}' => return,
            '\u{1b}' if chars.peek() == Some(&'\\') => {
                chars.next();
                return;
            }
            _ => {}
        }
    }
}

/// After `ESC`: intermediates and one final byte.
fn escape_sequence(chars: &mut Chars<'_>) {
    while let Some(char) = chars.peek().copied() {
        match char {
            ' '..='/' => chars.next(),
            '0'..='~' => {
                chars.next();
                return;
            }
            _ => return,
        };
    }
}

fn select_graphic_rendition(parameters: &str, style: &mut Style) {
    // `38:5:n` and `38;5;n` mean the same; a number too long to read means nothing we know.
    let mut numbers = parameters.split([';', ':']).map(|number| {
        if number.is_empty() {
            0
        } else {
            number.parse().unwrap_or(u16::MAX)
        }
    });
    while let Some(number) = numbers.next() {
        match number {
            0 => *style = Style::default(),
            1 => style.bold = true,
            2 => style.dim = true,
            3 => style.italic = true,
            4 => style.underline = true,
            22 => (style.bold, style.dim) = (false, false),
            23 => style.italic = false,
            24 => style.underline = false,
            30..=37 => style.ink = Ink::of_palette(number - 30).map(|(ink, _)| ink),
            90..=97 => {
                style.ink = Ink::of_palette(number - 90).map(|(ink, _)| ink);
                style.bold = true;
            }
            38 => style.ink = extended_colour(&mut numbers),
            // The background is the paper's, but its parameters must not be taken for something else.
            48 | 58 => _ = extended_colour(&mut numbers),
            39 => style.ink = None,
            _ => {}
        }
    }
}

fn extended_colour(numbers: &mut impl Iterator<Item = u16>) -> Option<Ink> {
    match numbers.next()? {
        5 => match numbers.next()? {
            number @ 0..16 => Ink::of_palette(number).map(|(ink, _)| ink),
            number @ 16..232 => {
                let cube = number - 16;
                Ink::of_rgb(cube / 36 * 51, cube / 6 % 6 * 51, cube % 6 * 51)
            }
            _ => None,
        },
        2 => {
            let (red, green, blue) = (numbers.next()?, numbers.next()?, numbers.next()?);
            Ink::of_rgb(red.min(255), green.min(255), blue.min(255))
        }
        _ => None,
    }
}

/// One line as HTML: text in `span`s with class names from a fixed set. Whatever the line holds is text.
pub fn html(line: &str) -> String {
    let mut html = String::with_capacity(line.len() + 48);
    html.push_str("<div>");
    for span in parse(line) {
        let classes = span.style.classes();
        if classes.is_empty() {
            escape_into(&mut html, &span.text);
        } else {
            // Writing to a string cannot fail.
            let _ = write!(html, "<span class=\"{classes}\">");
            escape_into(&mut html, &span.text);
            html.push_str("</span>");
        }
    }
    html.push_str("</div>");
    html
}

/// One line as plain text, for the clipboard.
pub fn plain(line: &str) -> String {
    parse(line).into_iter().map(|span| span.text).collect()
}

impl Style {
    fn classes(self) -> String {
        let mut classes = Vec::new();
        classes.extend(self.ink.map(Ink::class));
        classes.extend(self.bold.then_some("bold"));
        classes.extend(self.dim.then_some("dim"));
        classes.extend(self.italic.then_some("italic"));
        classes.extend(self.underline.then_some("under"));
        classes.join(" ")
    }
}

fn escape_into(html: &mut String, text: &str) {
    for char in text.chars() {
        match char {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            _ => html.push(char),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Spans as text: `{g:text}` for green, bare for plain.
    fn check(line: &str, expect: &str) {
        let shown: String = parse(line)
            .into_iter()
            .map(|span| match span.style.classes() {
                classes if classes.is_empty() => span.text,
                classes => format!("{{{classes}:{}}}", span.text),
            })
            .collect();
        assert_eq!(shown, expect, "{line:?}");
    }

    #[test]
    fn colours_and_weights_are_kept() {
        check("\x1b[32m INFO\x1b[0m ready", "{g: INFO} ready");
        check(
            "\x1b[2m12:00\x1b[0m \x1b[1;33mWARN\x1b[22m slow\x1b[m.",
            "{dim:12:00} {y bold:WARN}{y: slow}.",
        );
        check("\x1b[91mbad\x1b[39m only bold", "{r bold:bad}{bold: only bold}");
        check("\x1b[3;4mboth\x1b[23m\x1b[24m none", "{italic under:both} none");
    }

    #[test]
    fn wide_colours_take_the_nearest_ink_and_backgrounds_are_left_out() {
        check(
            "\x1b[38;5;196mred\x1b[38;2;30;200;40mgreen\x1b[38:5:4mblue",
            "{r:red}{g:green}{b:blue}",
        );
        check("\x1b[48;5;31;1mbold, not red", "{bold:bold, not red}");
        check("\x1b[38;5;240mgrey\x1b[41mplain", "greyplain");
        check("\x1b[38;5m\x1b[38m\x1b[38;2;1mcut short", "cut short");
    }

    #[test]
    fn every_other_sequence_is_dropped() {
        check("a\x1b[2Jb\x1b[10;20Hc\x1b[?25ld\x1b[>4;2me", "abcde");
        check(
            "\x1b]0;title\x07text \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\",
            "text link",
        );
        check("\x1bPq#0\x1b\\after \x1b_apc\u{9c}more", "after more");
        check("\x1b(Bascii \x1bcreset \x1b7save", "ascii reset save");
        check("\u{9b}31mred \u{9d}0;title\u{9c}too", "{r:red too}");
    }

    #[test]
    fn controls_and_text_that_reorders_are_dropped() {
        check("a\rb\x08c\x07d\x00e\x7ff\tg", "abcdef\tg");
        check("user\u{202e}txt.exe\u{2066}\u{200b}\u{2028}", "usertxt.exe");
    }

    #[test]
    fn unterminated_sequences_are_safe() {
        for line in [
            "tail\x1b",
            "tail\x1b[",
            "tail\x1b[31",
            "tail\x1b]0;title",
            "tail\x1bP",
            "tail\x1b(",
            "tail\u{9b}",
        ] {
            check(line, "tail");
        }
        check("\x1b[3é", "é");
        check("\x1b[31\x1b[32mgreen", "{g:green}");
        check("\x1b[99999999999999999999mplain", "plain");
    }

    #[test]
    fn a_colour_ends_with_its_line() {
        check("\x1b[31mred", "{r:red}");
        check("next", "next");
    }

    #[test]
    fn markup_in_a_line_is_text() {
        assert_eq!(
            html("<img src=x onerror=\"a()\"> & \x1b[31m</span><b>"),
            "<div>&lt;img src=x onerror=&quot;a()&quot;&gt; &amp; <span class=\"r\">&lt;/span&gt;&lt;b&gt;</span></div>"
        );
    }

    #[test]
    fn a_very_long_line_is_cut_with_an_ellipsis() {
        let shown = plain(&"x".repeat(LINE_CHARS + 10));
        assert_eq!(shown.chars().count(), LINE_CHARS + 1);
        assert!(shown.ends_with("x…"));
    }

    proptest! {
        #[test]
        fn nothing_but_text_comes_out(line in "(\\PC|[\\x00-\\x1f\\x7f-\\x9f]|\x1b\\[[0-9;:]{0,9}[a-z]?){0,60}") {
            let spans = parse(&line);
            for span in &spans {
                prop_assert!(!span.text.is_empty());
                prop_assert!(!span.text.chars().any(is_dropped));
            }
            let html = html(&line);
            let inside = html.trim_start_matches("<div>").trim_end_matches("</div>");
            let left = inside.replace("</span>", "").split("<span class=\"").enumerate()
                .map(|(place, part)| if place == 0 { part } else { part.split_once("\">").map_or(part, |cut| cut.1) })
                .collect::<String>();
            prop_assert!(!left.contains(['<', '>', '"']), "{}", left);
        }

        #[test]
        fn text_without_controls_is_unchanged(line in "[ -~äöü€]{0,200}") {
            prop_assert_eq!(plain(&line), line);
        }
    }
}
