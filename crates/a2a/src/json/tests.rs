use prost::Message;

use super::*;
use crate::v1;

fn round(text: &str) -> String {
    String::from_utf8(print(&parse(text.as_bytes()).unwrap()).unwrap()).unwrap()
}

fn number(value: f64) -> Value {
    Value { kind: Some(Kind::NumberValue(value)) }
}

fn nested(depth: usize, open: &str, close: &str) -> String {
    format!("{}1{}", open.repeat(depth), close.repeat(depth))
}

#[test]
fn json_comes_back_as_it_went() {
    for text in [
        "null",
        "true",
        "\"a \\\"b\\\" \\u0007 é\"",
        "[]",
        "{}",
        "[1,-2,0.5,1e300,[null,{\"a\":{}}]]",
        "{\"a\":{\"b\":[1,2]},\"c\":\"\"}",
    ] {
        let want: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&round(text)).unwrap(), want, "{text}");
        assert_eq!(from_proto(&to_proto(&want).unwrap()).unwrap(), want, "{text}");
    }
}

#[test]
fn integers_print_as_integers() {
    assert_eq!(round("[5.0, 5, -3, 0, 9007199254740992, 1e2]"), "[5,5,-3,0,9007199254740992,100]");
    assert_eq!(round("[0.1, 1e300, -0.0]"), "[0.1,1e+300,-0.0]");
    assert_eq!(print(&number(9_223_372_036_854_775_808.0)).unwrap(), b"9.223372036854776e+18".as_slice());
}

#[test]
fn numbers_that_json_or_floats_lack_are_refused() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let list = Value { kind: Some(Kind::ListValue(ListValue { values: vec![number(value)] })) };
        assert!(print(&list).is_err());
        assert!(from_proto(&list).is_err());
    }
    assert!(parse(b"9007199254740993").is_err());
    assert!(parse(b"18446744073709551615").is_err());
    assert!(parse(b"-9223372036854775808").is_ok());
    assert!(parse(b"1e999").is_err());
}

#[test]
fn what_is_not_json_is_refused() {
    for text in ["", "{", "[1,]", "1 2", "{\"a\"}", "\u{feff}1", "nul"] {
        assert!(parse(text.as_bytes()).is_err(), "{text:?}");
    }
}

#[test]
fn nesting_is_limited_both_ways() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deepest = nested(MAX_DEPTH, open, close);
        assert_eq!(round(&deepest), deepest);
        assert!(is_lossless(deepest.as_bytes()));
        let deeper = nested(MAX_DEPTH + 1, open, close);
        assert!(parse(deeper.as_bytes()).is_err());
        assert!(!is_lossless(deeper.as_bytes()));
    }
    let mut value = number(1.0);
    for _ in 0..=MAX_PRINT_DEPTH {
        value = Value { kind: Some(Kind::ListValue(ListValue { values: vec![value] })) };
    }
    assert!(print(&value).is_err());
}

#[test]
fn the_deepest_value_can_be_decoded_in_the_deepest_message() {
    let data = parse(nested(MAX_DEPTH, "{\"a\":", "}").as_bytes()).unwrap();
    let part = v1::Part { content: Some(v1::part::Content::Data(data)), ..Default::default() };
    let message = v1::Message { parts: vec![part], ..Default::default() };
    let status = v1::TaskStatus { message: Some(message), ..Default::default() };
    let task = v1::Task { status: Some(status), ..Default::default() };
    let page = v1::ListTasksResponse { tasks: vec![task], ..Default::default() };
    assert_eq!(v1::ListTasksResponse::decode(page.encode_to_vec().as_slice()).unwrap(), page);
}

#[test]
fn lossless_is_a_question_of_decimal_value() {
    for text in [
        "0",
        "-0",
        "0.0",
        "0e5",
        "1",
        "0.1",
        "1.50",
        "1e2",
        "1E+2",
        "-12.5e-3",
        "9007199254740992",
        "\"9007199254740993\"",
        "{\"12345678901234567890\":\"\\\"9007199254740993\"}",
        "[1,2.25,true,null]",
        "5e-324",
    ] {
        assert!(is_lossless(text.as_bytes()), "{text}");
    }
    for text in [
        "9007199254740993",
        // An exact float, but printers write its shortest digits: 1152921504606847000.
        "1152921504606846976",
        "0.1000000000000000055",
        "3.14159265358979323846",
        "1e400",
        "1e-400",
        "[1,{\"a\":18446744073709551615}]",
        "123456789012345678901234567890",
    ] {
        assert!(!is_lossless(text.as_bytes()), "{text}");
    }
}
