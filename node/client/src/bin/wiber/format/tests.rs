use super::*;

fn record(text: &str) -> RecordLine {
    RecordLine {
        topic: "lobby".to_owned(),
        id: "m-1".to_owned(),
        offset: 7,
        ts_us: 1_729_459_200_123_456,
        corrected_us: 1_729_459_200_123_457,
        logical_time: 40,
        clock_type: "logical".to_owned(),
        node: "n1".to_owned(),
        log_index: 9,
        text: text.to_owned(),
        ..RecordLine::default()
    }
}

fn written(form: Form, for_terminal: bool, text: &str) -> String {
    let mut out = Vec::new();
    let format = Format { form, for_terminal };
    format.write(&record(text), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn by_template(template: &str, text: &str) -> Result<String, String> {
    Ok(written(Form::Template(parse(template)?), false, text))
}

#[test]
fn every_placeholder_is_its_field_and_everything_else_is_itself() {
    let check = |template, expected: &str| assert_eq!(by_template(template, "hi %s").unwrap(), expected);
    check("%t[%o] %k=%s\\n", "lobby[7] m-1=hi %s\n");
    check("%T %C %L %n", "1729459200.123456 1729459200.123457 40 n1");
    check("%B %h %d", "- - -");
    check("100%%\\t\\\\n\\r", "100%\t\\n\r");
    check("", "");
    check("µ%oµ", "µ7µ");
}

#[test]
fn a_template_with_a_mistake_is_refused() {
    let check = |template, expected: &str| assert_eq!(by_template(template, "").unwrap_err(), expected);
    check("%x", "`%x` means nothing in a template");
    check("\\q", "`\\q` means nothing in a template");
    check("100%", "the template ends in a single `%`");
    check("a\\", "the template ends in a single `\\`");
}

#[test]
fn a_message_is_no_command_to_a_terminal_but_a_pipe_gets_every_byte() {
    let template = || Form::Template(parse("%s").unwrap());
    let text = "it\x1b[2J\tis\nlate\u{9b}\r";
    assert_eq!(written(template(), true, text), "it[2J\tis late");
    assert_eq!(written(template(), false, text), text);
    let readable = written(Form::Readable(Readable::default()), true, text);
    assert!(readable.ends_with("  it[2J\tis late\n"), "{readable:?}");
}

#[test]
fn json_is_one_line_that_says_the_same_with_every_control_escaped() {
    let text = "a\nb\x1b\x7f\u{9b}µ";
    let json = written(Form::Json, false, text);
    assert!(json.ends_with("}\n"), "{json}");
    assert!(!json.trim_end().contains(char::is_control), "{json:?}");
    assert_eq!(serde_json::from_str::<RecordLine>(&json).unwrap(), record(text));
}

#[test]
fn a_time_that_no_calendar_has_is_its_number() {
    assert_eq!(local_time(i64::MAX), i64::MAX.to_string());
}

#[test]
fn what_only_some_records_have_is_shown_where_they_have_it() {
    let mut record = record("hi");
    record.bound_us = Some(1_000_250);
    record.headers = [("a", "1"), ("b", "x y")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    record.delivery = Some(2);
    let written = |form| {
        let mut out = Vec::new();
        let for_terminal = false;
        Format { form, for_terminal }.write(&record, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let template = parse("%B %h %d").unwrap();
    assert_eq!(written(Form::Template(template)), "1.000250 a=1,b=x y 2");
    let readable = written(Form::Readable(Readable {
        headers: true,
        topics: true,
        ..Readable::default()
    }));
    assert!(
        readable.ends_with("  lobby  delivery 2  a=1,b=x y  hi\n"),
        "{readable}"
    );
}

#[test]
fn what_is_no_text_is_its_bytes_in_a_pipe_and_their_number_to_a_person() {
    let record = RecordLine {
        data: Some("/wA=".to_owned()),
        ..record("\u{fffd}\0")
    };
    let written = |form, for_terminal| {
        let mut out = Vec::new();
        Format { form, for_terminal }.write(&record, &mut out).unwrap();
        out
    };
    let template = || Form::Template(parse("%s").unwrap());
    assert_eq!(written(template(), false), [0xff, 0]);
    assert_eq!(written(template(), true), "\u{fffd}".as_bytes());
    let readable = written(Form::Readable(Readable::default()), false);
    assert!(readable.ends_with(b"  (2 bytes)\n"), "{readable:?}");
}
